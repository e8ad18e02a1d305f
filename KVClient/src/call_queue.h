// Where gRPC tells what became of the calls: few completion queues for all clients of the process,
// each with one thread, which runs everything that the calls of its connections wait for.
//
// One thread, since gRPC's transport is one: where two work at a connection, one of them hands what
// it has to do to a third, and every block of a stream costs ten switches of threads.
#ifndef KVCLIENT_SRC_CALL_QUEUE_H_
#define KVCLIENT_SRC_CALL_QUEUE_H_

#include <grpcpp/completion_queue.h>

#include <atomic>
#include <chrono>

#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"

namespace kvstore::client {

// Thread-safe. A queue and its thread live as long as the process, since calls may outlive clients
// and the destructors of statics: they are made with `new` and never destroyed.
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

  // The queue for the next connection: those of the process take turns, each made when it is used.
  static CallQueue& Next();

  CallQueue();
  ~CallQueue() = delete;

  grpc::CompletionQueue* queue() { return &queue_; }

  // The tag for one operation on queue(), which must follow. What its caller's thread has written
  // before this is seen by Happened.
  void* Tag(Event* event);

  // Runs `task` after `delay` on the queue's thread. Takes no thread while it waits.
  void After(std::chrono::milliseconds delay, absl::AnyInvocable<void() &&> task);

 private:
  void Run();
  void Rest();

  grpc::CompletionQueue queue_;
  std::atomic<int> pending_{0};
  std::atomic<bool> resting_{false};
  absl::Mutex mutex_;  // guards nothing: wakes the thread that rests
};

// CallQueue::After on one of the process's queues. May be called under gRPC's locks.
void RunAfter(std::chrono::milliseconds delay, absl::AnyInvocable<void() &&> task);

}  // namespace kvstore::client

#endif  // KVCLIENT_SRC_CALL_QUEUE_H_
