#include "KVService/rpc/call_queues.h"

#include <utility>

namespace kvstore {
namespace {

using Work = FairOrder<absl::AnyInvocable<void() &&>>;

// Of this thread, where it serves a queue.
thread_local Work* work_here = nullptr;

// Events in a row after which work gets its turn, be there more of them.
constexpr int kMostEvents = 32;
// A poll of gRPC's serves one socket, and what that has may be no event of ours.
constexpr int kPolls = 4;

// Whether there is an event now.
bool ReadyEvent(grpc::CompletionQueue* queue, int polls, void** tag, bool* ok) {
  for (int i = 0; i < polls; ++i) {
    switch (queue->AsyncNext(tag, ok, gpr_time_0(GPR_CLOCK_MONOTONIC))) {
      case grpc::CompletionQueue::GOT_EVENT:
        return true;
      case grpc::CompletionQueue::SHUTDOWN:
        return false;
      case grpc::CompletionQueue::TIMEOUT:
        break;
    }
  }
  return false;
}

void Serve(grpc::CompletionQueue* queue) {
  Work work;
  work_here = &work;
  int events = 0;
  for (;;) {
    void* tag = nullptr;
    bool ok = false;
    if (work.empty()) {
      if (!queue->Next(&tag, &ok)) break;
    } else {
      if (events == kMostEvents || !ReadyEvent(queue, work.size() > 1 ? kPolls : 1, &tag, &ok)) {
        events = 0;
        work.Pop()();
        continue;
      }
      ++events;
    }
    static_cast<CallEvent*>(tag)->Happened(ok);
  }
  work_here = nullptr;
}

}  // namespace

void RunInTurn(PartyId party, int64_t bytes, absl::AnyInvocable<void() &&> work) {
  if (work_here == nullptr) return std::move(work)();
  work_here->Push(party, bytes, std::move(work));
}

CallQueues::CallQueues(grpc::ServerBuilder* builder, size_t count) {
  for (size_t i = 0; i < count; ++i) queues_.push_back(builder->AddCompletionQueue());
}

CallQueues::~CallQueues() { Stop(); }

void CallQueues::Run() {
  for (const auto& queue : queues_) threads_.emplace_back(Serve, queue.get());
}

void CallQueues::Stop() {
  if (std::exchange(stopped_, true)) return;
  for (const auto& queue : queues_) queue->Shutdown();
  // gRPC wants each queue to be emptied, be it that its thread never ran.
  if (threads_.empty()) {
    for (const auto& queue : queues_) Serve(queue.get());
  }
  for (std::thread& thread : threads_) thread.join();
}

}  // namespace kvstore
