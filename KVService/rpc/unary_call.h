// A unary call on raw bytes, from waiting for it to its answer's last byte.
#ifndef KVSERVICE_RPC_UNARY_CALL_H_
#define KVSERVICE_RPC_UNARY_CALL_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/async_stream.h>
#include <grpcpp/support/byte_buffer.h>

#include <memory>
#include <optional>
#include <string_view>

#include "KVService/admission/admission.h"
#include "KVService/observe/rpc_log.h"
#include "KVService/rpc/access.h"
#include "KVService/rpc/call_gate.h"
#include "KVService/rpc/call_queues.h"
#include "KVService/rpc/requests.h"

namespace kvstore {

class KVService;

// Deletes itself. One that waits for a call makes the next that waits as soon as its own has come.
class UnaryCall final : private CallEvent {
 public:
  // gRPC's stream that a client sends one message to and gets one from: what a unary call is on the
  // wire. It lets us say when the request is received.
  using Stream = grpc::ServerAsyncReader<grpc::ByteBuffer, grpc::ByteBuffer>;
  struct Method {
    std::string_view name;
    // Whether requests are large. They are received when Admission says so; others have been when
    // the call comes.
    bool uploads;
    // Answers it, now or later, by Finish.
    void (KVService::*handle)(UnaryCall*);
  };

  // Waits for a call. All of it must live until the queue has ended.
  static void Await(const Method* method, KVService* service, grpc::ServerCompletionQueue* queue);

  // What was sent, until ReleaseRequest; the answer, for an OK; and what the log will tell.
  const grpc::ByteBuffer& request() const { return request_; }
  void ReleaseRequest();
  grpc::ByteBuffer response;
  RpcRecord record;

  // Who calls; empty where the server does not ask.
  const std::optional<Caller>& caller() const { return caller_; }
  std::unique_ptr<ReadGuard> read_guard;  // of a Read that has one
  uint64_t store_read = 0;                // the store's number of it
  int64_t asked_us = 0;                   // when the store was asked, of a timed call

  const Stopwatch& watch() const { return watch_; }
  absl::Time deadline() const { return DeadlineOf(context_.deadline()); }

  // Once, from any thread; the call is not to be touched after it.
  void Finish(const absl::Status& status);

 private:
  UnaryCall(const Method* method, KVService* service, grpc::ServerCompletionQueue* queue);
  // That the call is over: answered, or its client gone.
  struct Over final : CallEvent {
    explicit Over(UnaryCall* call) : call(call) {}
    void Happened(bool ok) override { call->IsOver(ok); }
    void* tag() { return static_cast<CallEvent*>(this); }
    UnaryCall* const call;
  };

  void Happened(bool ok) override;
  void IsOver(bool ok);
  void End();
  void Came();
  void Received(bool ok);
  void Handle();
  void Send(const absl::Status& status);
  void* tag() { return static_cast<CallEvent*>(this); }

  const Method* const method_;
  KVService* const service_;
  grpc::ServerCompletionQueue* const queue_;
  grpc::ServerContext context_;
  grpc::ByteBuffer request_;
  Stream stream_{&context_};
  Over over_{this};
  int ends_due_ = 2;  // the last event of its own, and that it is over
  Stopwatch watch_;
  int64_t answered_us_ = 0;  // when Finish was called
  std::optional<Caller> caller_;
  Admission::Call admitted_;
  enum { kAwaited, kRefused, kReceiving, kRunning } state_ = kAwaited;
};

}  // namespace kvstore

#endif  // KVSERVICE_RPC_UNARY_CALL_H_
