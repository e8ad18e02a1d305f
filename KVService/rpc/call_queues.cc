#include "KVService/rpc/call_queues.h"

#include <chrono>
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

}  // namespace

void RunInTurn(PartyId party, int64_t bytes, absl::AnyInvocable<void() &&> work) {
  if (work_here == nullptr) return std::move(work)();
  work_here->Push(party, bytes, std::move(work));
}

CallQueues::CallQueues(grpc::ServerBuilder* builder, size_t count) : lanes_(count) {
  for (size_t i = 0; i < count; ++i) queues_.push_back(builder->AddCompletionQueue());
}

CallQueues::~CallQueues() { Stop(); }

void CallQueues::Take(Lane* lane, void* tag, bool ok) {
  lane->taken.fetch_add(1, std::memory_order_relaxed);
  absl::MutexLock lock(&lane->mutex);
  static_cast<CallEvent*>(tag)->Happened(ok);
}

void CallQueues::Serve(grpc::CompletionQueue* queue, Lane* lane) {
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
    Take(lane, tag, ok);
  }
  work_here = nullptr;
}

bool CallQueues::Stopping() {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, kReliefTick, [this] { return stopping_; });
}

void CallQueues::Relieve() {
  constexpr std::chrono::system_clock::time_point kDoNotWait;
  std::vector<uint64_t> seen(queues_.size());
  while (!Stopping()) {
    for (size_t i = 0; i < queues_.size(); ++i) {
      const uint64_t taken = lanes_[i].taken.load(std::memory_order_relaxed);
      if (std::exchange(seen[i], taken) != taken) continue;
      void* tag = nullptr;
      bool ok = false;
      if (queues_[i]->AsyncNext(&tag, &ok, kDoNotWait) == grpc::CompletionQueue::GOT_EVENT) {
        Take(&lanes_[i], tag, ok);
        seen[i] = taken + 1;
      }
    }
  }
}

void CallQueues::Run() {
  for (size_t i = 0; i < queues_.size(); ++i) {
    threads_.emplace_back(&CallQueues::Serve, queues_[i].get(), &lanes_[i]);
  }
  relief_ = std::thread(&CallQueues::Relieve, this);
}

void CallQueues::Stop() {
  if (std::exchange(stopped_, true)) return;
  if (relief_.joinable()) {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_one();
    relief_.join();
  }
  for (const auto& queue : queues_) queue->Shutdown();
  // gRPC wants each queue to be emptied, be it that its thread never ran.
  if (threads_.empty()) {
    for (size_t i = 0; i < queues_.size(); ++i) Serve(queues_[i].get(), &lanes_[i]);
  }
  for (std::thread& thread : threads_) thread.join();
}

}  // namespace kvstore
