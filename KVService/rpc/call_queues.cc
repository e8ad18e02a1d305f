#include "KVService/rpc/call_queues.h"

#include <utility>

namespace kvstore {
namespace {

void Serve(grpc::CompletionQueue* queue) {
  void* tag = nullptr;
  bool ok = false;
  while (queue->Next(&tag, &ok)) static_cast<CallEvent*>(tag)->Happened(ok);
}

}  // namespace

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
