// Where clients connect to a gRPC server: an address that is listened on. gRPC's types are in rpc/
// alone, and so is what differs between the systems: front_door_descriptors.cc and
// front_door_grpc.cc.
#ifndef KVSERVICE_RPC_FRONT_DOOR_H_
#define KVSERVICE_RPC_FRONT_DOOR_H_

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include <memory>

#include "KVService/platform/listener.h"
#include "absl/status/statusor.h"

namespace kvstore {

// Not thread-safe.
class FrontDoor {
 public:
  virtual ~FrontDoor() = default;  // as Close

  // Lets clients in. REQUIRES: the server is built. Call once.
  virtual void Open() = 0;

  // 0 of a Unix socket; and where gRPC was to listen and could not, for which it builds no server.
  virtual int port() const = 0;

  // No further client gets in. Before the server is shut down. Idempotent.
  virtual void Close() = 0;
};

// Part of the server that `builder` will build, which must be ended first. UNAVAILABLE, saying why,
// if the address cannot be listened on; UNIMPLEMENTED of a Unix socket where there are none.
absl::StatusOr<std::unique_ptr<FrontDoor>> MakeFrontDoor(
    const Listener::Options& options, std::shared_ptr<grpc::ServerCredentials> credentials,
    grpc::ServerBuilder* builder);

}  // namespace kvstore

#endif  // KVSERVICE_RPC_FRONT_DOOR_H_
