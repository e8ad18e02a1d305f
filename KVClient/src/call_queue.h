// Where gRPC tells what became of the calls: a few completion queues for all clients of the
// process, each with one thread, which runs everything that the calls of its connections wait for.
#ifndef KVCLIENT_SRC_CALL_QUEUE_H_
#define KVCLIENT_SRC_CALL_QUEUE_H_

#include <grpcpp/completion_queue.h>

#include <atomic>
#include <chrono>

#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"

namespace kvstore::client {

// Thread-safe. Queues and their threads live as long as the process: calls may outlive clients and
// the destructors of statics.
class CallQueue {
 public:
  // What gRPC is given as a tag.
  class Event {
   public:
    // Runs on the queue's thread, which does nothing else meanwhile: it must not block.
    virtual void Happened(bool ok) = 0;

   protected:
    ~Event() = default;
  };

  // The one for the next connection: they take turns. Starts its thread where it has none yet.
  static CallQueue& Next();
  // The one that Next gave first.
  static CallQueue& First();

  grpc::CompletionQueue* queue() { return &queue_; }

  // The tag for one operation, which must follow at once: a thread is seen to that polls for it.
  // What was written before is seen by Happened, whatever thread this is called on.
  void* Tag(Event* event);

 private:
  CallQueue() = default;
  static CallQueue& Started(unsigned index);
  void Run();
  void Rest();

  grpc::CompletionQueue queue_;
  std::atomic<bool> started_{false};
  std::atomic<int> pending_{0};
  std::atomic<bool> resting_{false};
  absl::Mutex mutex_;  // guards nothing: wakes the thread that rests
};

// Runs `task` after `delay` on a queue's thread. Takes no thread while it waits. May be called
// under gRPC's locks.
void RunAfter(std::chrono::milliseconds delay, absl::AnyInvocable<void() &&> task);

}  // namespace kvstore::client

#endif  // KVCLIENT_SRC_CALL_QUEUE_H_
