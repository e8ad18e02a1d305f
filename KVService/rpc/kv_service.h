// KVStoreService over ChunkStore: gRPC's callback API on raw bytes. This layer checks requests,
// frames answers and measures; it knows chunks, and of storage only what ChunkStore says.
#ifndef KVSERVICE_RPC_KV_SERVICE_H_
#define KVSERVICE_RPC_KV_SERVICE_H_

#include "KVService/observe/rpc_log.h"
#include "KVService/rpc/call_gate.h"
#include "KVService/rpc/read_stream.h"
#include "KVService/store/chunk_store.h"
#include "kvstore.grpc.pb.h"

namespace kvstore {

using RawKVStoreService = KVStoreService::WithRawCallbackMethod_Lookup<
    KVStoreService::WithRawCallbackMethod_Read<KVStoreService::WithRawCallbackMethod_StreamingRead<
        KVStoreService::WithRawCallbackMethod_Write<KVStoreService::Service>>>>;

// Both arguments must outlive the service.
class KVService final : public RawKVStoreService {
 public:
  KVService(ChunkStore* store, RpcLog* log) : store_(*store), log_(*log) {}

  grpc::ServerUnaryReactor* Lookup(grpc::CallbackServerContext* context,
                                   const grpc::ByteBuffer* request,
                                   grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* Read(grpc::CallbackServerContext* context,
                                 const grpc::ByteBuffer* request,
                                 grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* Write(grpc::CallbackServerContext* context,
                                  const grpc::ByteBuffer* request,
                                  grpc::ByteBuffer* response) override;
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* StreamingRead(
      grpc::CallbackServerContext* context) override;

  // Refuses new calls with UNAVAILABLE and waits for those that run, until the deadline. Whether
  // any ran.
  bool Drain(absl::Time deadline) { return gate_.Close(deadline); }

 private:
  ChunkStore& store_;
  RpcLog& log_;
  CallGate gate_;
  HeldAnswers held_answers_;
};

}  // namespace kvstore

#endif  // KVSERVICE_RPC_KV_SERVICE_H_
