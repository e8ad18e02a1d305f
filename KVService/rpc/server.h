// The gRPC server around KVService, with the transport settings that the contract names.
#ifndef KVSERVICE_RPC_SERVER_H_
#define KVSERVICE_RPC_SERVER_H_

#include <chrono>
#include <memory>
#include <string>

#include "KVService/observe/rpc_log.h"
#include "KVService/store/chunk_store.h"
#include "absl/status/statusor.h"

namespace kvstore {

class RpcServer {
 public:
  // Listens on host:port; port 0 takes a free one. Calls are served by so many queues, each with a
  // thread. `store` and `log` must outlive the server. UNAVAILABLE where the address cannot be
  // listened on.
  static absl::StatusOr<std::unique_ptr<RpcServer>> Start(const std::string& host, int port,
                                                          size_t queues, ChunkStore* store,
                                                          RpcLog* log);
  ~RpcServer();  // as Shutdown(0)

  int port() const { return port_; }

  // Takes no new calls, lets those that run finish, and cancels what is left after `grace`. Returns
  // once all have ended.
  void Shutdown(std::chrono::milliseconds grace);

 private:
  struct Parts;
  RpcServer(std::unique_ptr<Parts> parts, int port);

  std::unique_ptr<Parts> parts_;
  int port_;
};

}  // namespace kvstore

#endif  // KVSERVICE_RPC_SERVER_H_
