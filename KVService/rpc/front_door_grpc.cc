// By gRPC's own listener: for systems where it takes no others' connections (Windows).
#include <string>
#include <utility>

#include "KVService/rpc/front_door.h"

namespace kvstore {
namespace {

class GrpcDoor final : public FrontDoor {
 public:
  void Open() override {}
  int port() const override { return port_; }
  // gRPC closes it at the server's shutdown; until then calls of new clients are refused by the
  // service's gate.
  void Close() override {}

  int* port_to_set() { return &port_; }

 private:
  int port_ = 0;  // gRPC's, once it listens
};

}  // namespace

absl::StatusOr<std::unique_ptr<FrontDoor>> MakeFrontDoor(
    const Listener::Options& options, std::shared_ptr<grpc::ServerCredentials> credentials,
    grpc::ServerBuilder* builder) {
  if (!options.unix_path.empty()) {
    return absl::UnimplementedError("gRPC has no Unix sockets on this system; give HOST:PORT");
  }
  auto door = std::make_unique<GrpcDoor>();
  const bool bare_ipv6 = options.host.find(':') != std::string::npos && options.host[0] != '[';
  const std::string host = bare_ipv6 ? "[" + options.host + "]" : options.host;
  builder->AddListeningPort(host + ":" + std::to_string(options.port), std::move(credentials),
                            door->port_to_set());
  return door;
}

}  // namespace kvstore
