// KVStoreService over ChunkStore, on raw bytes. This layer checks requests, frames answers and
// measures; it knows chunks, and of storage only what ChunkStore says.
#ifndef KVSERVICE_RPC_KV_SERVICE_H_
#define KVSERVICE_RPC_KV_SERVICE_H_

#include "KVService/auth/access_control.h"
#include "KVService/observe/rpc_log.h"
#include "KVService/rpc/call_gate.h"
#include "KVService/rpc/read_stream.h"
#include "KVService/rpc/unary_call.h"
#include "KVService/store/chunk_store.h"
#include "kvstore.grpc.pb.h"

namespace kvstore {

using RawKVStoreService = KVStoreService::WithRawMethod_Lookup<
    KVStoreService::WithRawMethod_Read<KVStoreService::WithRawMethod_StreamingRead<
        KVStoreService::WithRawMethod_Write<KVStoreService::Service>>>>;

// All arguments must outlive the service, and the service its calls.
class KVService final : public RawKVStoreService {
 public:
  // Without `access` every caller may do everything.
  KVService(ChunkStore* store, RpcLog* log, const AccessControl* access)
      : store_(*store), log_(*log), access_(access) {}

  // Begins to take calls from the queue. REQUIRES: the server has started.
  void Serve(grpc::ServerCompletionQueue* queue);

  // Refuses new calls with UNAVAILABLE and waits for those that run, until the deadline. Whether
  // any ran.
  bool Drain(absl::Time deadline) { return gate_.Close(deadline); }

  // For the calls.
  ChunkStore& store() { return store_; }
  RpcLog& log() { return log_; }
  const AccessControl* access() const { return access_; }
  CallGate& gate() { return gate_; }
  HeldAnswers& held_answers() { return held_answers_; }

 private:
  static const UnaryCall::Method kLookup, kRead, kWrite;

  void OnLookup(UnaryCall* call);
  void OnRead(UnaryCall* call);
  void OnWrite(UnaryCall* call);

  ChunkStore& store_;
  RpcLog& log_;
  const AccessControl* const access_;
  CallGate gate_;
  HeldAnswers held_answers_;
};

}  // namespace kvstore

#endif  // KVSERVICE_RPC_KV_SERVICE_H_
