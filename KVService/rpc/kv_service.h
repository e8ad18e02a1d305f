// KVStoreService over ChunkStore, on raw bytes. This layer checks requests, frames answers and
// measures; it knows chunks, and of storage only what ChunkStore says.
#ifndef KVSERVICE_RPC_KV_SERVICE_H_
#define KVSERVICE_RPC_KV_SERVICE_H_

#include <grpcpp/impl/service_type.h>

#include <array>

#include "KVService/admission/admission.h"
#include "KVService/auth/access_control.h"
#include "KVService/observe/rpc_log.h"
#include "KVService/rpc/call_gate.h"
#include "KVService/rpc/read_stream.h"
#include "KVService/rpc/unary_call.h"
#include "KVService/store/chunk_store.h"

namespace kvstore {

// All arguments must outlive the service, and the service its calls.
//
// Registers its methods itself instead of deriving from the generated service: that has gRPC
// receive the whole request of a unary call before anybody is asked, and of a Write that is
// megabytes.
class KVService final : public grpc::Service {
 public:
  // Without `access` every caller may do everything.
  KVService(ChunkStore* store, RpcLog* log, Admission* admission, const AccessControl* access);

  // Begins to take calls from the queue. REQUIRES: the server has started.
  void Serve(grpc::ServerCompletionQueue* queue);

  // Refuses new calls with UNAVAILABLE and waits for those that run, until the deadline. Whether
  // any ran.
  bool Drain(absl::Time deadline) { return gate_.Close(deadline); }

  // For the calls.
  ChunkStore& store() { return store_; }
  RpcLog& log() { return log_; }
  Admission& admission() { return admission_; }
  const AccessControl* access() const { return access_; }
  CallGate& gate() { return gate_; }
  HeldAnswers& held_answers() { return held_answers_; }

  // Waits for a call. `request` is received with it, unless the method's are received later.
  void AwaitCall(const UnaryCall::Method& method, grpc::ServerContext* context,
                 grpc::ByteBuffer* request, UnaryCall::Stream* stream,
                 grpc::ServerCompletionQueue* queue, void* tag);
  void AwaitStream(grpc::ServerContext* context, ReadStream::Stream* stream,
                   grpc::ServerCompletionQueue* queue, void* tag);

 private:
  // In the order in which they are registered; StreamingRead comes after them.
  static const std::array<UnaryCall::Method, 3> kUnary;

  void OnLookup(UnaryCall* call);
  void OnRead(UnaryCall* call);
  void OnWrite(UnaryCall* call);
  // So that what is in there counts as the caller's, where callers are asked who they are.
  void NoteUse(const UnaryCall& call, const Container& container, std::string_view partition);

  ChunkStore& store_;
  RpcLog& log_;
  Admission& admission_;
  const AccessControl* const access_;
  CallGate gate_;
  HeldAnswers held_answers_;
};

}  // namespace kvstore

#endif  // KVSERVICE_RPC_KV_SERVICE_H_
