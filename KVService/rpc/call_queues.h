// gRPC's completion queues, each with the one thread that serves it. All events of a call come from
// its queue's thread, one after the other; a call's bytes stay in one processor's cache, and no
// thread wakes another (measured against the callback API: docs/BENCHMARKS.md).
//
// Events come first, and what moves megabytes when there are none, in an order that is fair between
// parties: else who asks for much would have others wait for all of it.
#ifndef KVSERVICE_RPC_CALL_QUEUES_H_
#define KVSERVICE_RPC_CALL_QUEUES_H_

#include <grpcpp/completion_queue.h>
#include <grpcpp/server_builder.h>

#include <memory>
#include <thread>
#include <vector>

#include "KVService/admission/fair_order.h"
#include "absl/functional/any_invocable.h"

namespace kvstore {

// What a call waits for: the tag of an operation of gRPC's. Happens once for each operation that
// was started with it, on the queue's thread, which it must not block.
class CallEvent {
 public:
  virtual void Happened(bool ok) = 0;

 protected:
  ~CallEvent() = default;  // whoever owns it knows when
};

// Runs `work` once, which moves `bytes` for the party: on a queue's thread later, when it is the
// party's turn; on any other thread before this returns.
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
  std::vector<std::unique_ptr<grpc::ServerCompletionQueue>> queues_;
  std::vector<std::thread> threads_;
  bool stopped_ = false;
};

}  // namespace kvstore

#endif  // KVSERVICE_RPC_CALL_QUEUES_H_
