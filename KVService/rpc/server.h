// The gRPC server around KVService, with the transport settings that the contract names.
#ifndef KVSERVICE_RPC_SERVER_H_
#define KVSERVICE_RPC_SERVER_H_

#include <chrono>
#include <memory>
#include <string>

#include "KVService/admission/admission.h"
#include "KVService/auth/access_control.h"
#include "KVService/auth/server_tls.h"
#include "KVService/observe/rpc_log.h"
#include "KVService/rpc/health.h"
#include "KVService/store/chunk_store.h"
#include "absl/status/statusor.h"

namespace kvstore {

struct RpcServerOptions {
  std::string host;
  int port = 0;                           // 0 takes a free one
  size_t queues = 1;                      // that serve calls, each with a thread
  const AccessControl* access = nullptr;  // null: every caller may do everything
  const ServerTls* tls = nullptr;         // null: plain text; else nothing but TLS
  // RAM for what gRPC has received and we have not taken. Beyond it connections are slowed, and
  // then ended.
  int64_t receive_bytes = int64_t{1} << 30;
  bool reflection = false;  // see introspection.h
  bool channelz = false;
};

class RpcServer {
 public:
  // Listens on host:port. What it is given and what the options point at must outlive the server.
  // UNAVAILABLE where the address cannot be listened on. `health` is asked until Shutdown.
  static absl::StatusOr<std::unique_ptr<RpcServer>> Start(const RpcServerOptions& options,
                                                          ChunkStore* store, RpcLog* log,
                                                          Admission* admission,
                                                          HealthSource health);
  ~RpcServer();  // as Shutdown(0)

  int port() const { return port_; }

  // Refuses new calls of the data service with UNAVAILABLE, or takes them again. Health is asked
  // for as before.
  void SetDraining(bool draining);
  int running_calls() const;

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
