// gRPC's completion queues, each with the one thread that serves it. Events of a queue happen one
// after the other, on its thread; a call's bytes stay in one processor's cache, and no thread wakes
// another (measured against the callback API: docs/BENCHMARKS.md).
//
// Events come first, and what moves megabytes when there are none, in an order that is fair between
// parties: else who asks for much would have others wait for all of it.
//
// While a connection always has more to read, gRPC keeps the queue's thread reading and never
// returns to its events, so that what arrives piles up and everybody else waits. (200,000 calls
// that were reset at once: 2.6 GB and 14 s.) So one more thread looks every kReliefTick for a queue
// whose thread has taken nothing since, and takes an event in its place. That two threads are at a
// connection makes gRPC read it on a thread of its own, and the queue's own is free again.
#ifndef KVSERVICE_RPC_CALL_QUEUES_H_
#define KVSERVICE_RPC_CALL_QUEUES_H_

#include <grpcpp/completion_queue.h>
#include <grpcpp/server_builder.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "KVService/admission/fair_order.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"

namespace kvstore {

// What a call waits for: the tag of an operation of gRPC's. Happens once for each operation that
// was started with it, on the queue's thread or in its place, which it must not block, and never
// together with another event of that queue.
class CallEvent {
 public:
  virtual void Happened(bool ok) = 0;

 protected:
  ~CallEvent() = default;  // whoever owns it knows when
};

// Runs `work` once, which moves `bytes` for the party: on a queue's thread later, when it is the
// party's turn; on any other thread before this returns. It is no event: one of the same call may
// happen meanwhile.
void RunInTurn(PartyId party, int64_t bytes, absl::AnyInvocable<void() &&> work);

class CallQueues {
 public:
  // Takes `count` queues from the builder. The threads start with Run.
  CallQueues(grpc::ServerBuilder* builder, size_t count);
  ~CallQueues();  // as Stop

  const std::vector<std::unique_ptr<grpc::ServerCompletionQueue>>& queues() const {
    return queues_;
  }

  // REQUIRES: the server has started.
  void Run();

  // Ends the threads once the events that are due have happened. REQUIRES: the server is shut down,
  // and nobody starts an operation any more.
  void Stop();

 private:
  // A queue's events: one at a time, and how many there were.
  struct Lane {
    absl::Mutex mutex;
    std::atomic<uint64_t> taken = 0;
  };

  static constexpr std::chrono::milliseconds kReliefTick{20};

  static void Take(Lane* lane, void* tag, bool ok);
  static void Serve(grpc::CompletionQueue* queue, Lane* lane);
  void Relieve();
  // Waits for a tick; whether to end.
  bool Stopping();

  std::vector<std::unique_ptr<grpc::ServerCompletionQueue>> queues_;
  std::vector<Lane> lanes_;  // of each queue
  std::vector<std::thread> threads_;
  std::thread relief_;
  bool stopped_ = false;

  // Not absl's: its timed waits follow the wall clock, which jumps.
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
};

}  // namespace kvstore

#endif  // KVSERVICE_RPC_CALL_QUEUES_H_
