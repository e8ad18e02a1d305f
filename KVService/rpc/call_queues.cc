#include "KVService/rpc/call_queues.h"

#include <chrono>
#include <utility>

namespace kvstore {

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
  void* tag = nullptr;
  bool ok = false;
  while (queue->Next(&tag, &ok)) Take(lane, tag, ok);
}

bool CallQueues::Stopping() {
  absl::MutexLock lock(&mutex_);
  return mutex_.AwaitWithTimeout(absl::Condition(&stopping_), kReliefTick);
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
      absl::MutexLock lock(&mutex_);
      stopping_ = true;
    }
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
