// By connections that Listener takes, whose descriptors gRPC gets: Listener goes on where gRPC's
// own would end.
#include <utility>

#include "KVCommon/status_macros.h"
#include "KVService/rpc/front_door.h"

namespace kvstore {
namespace {

using grpc::experimental::ExternalConnectionAcceptor;

class DescriptorDoor final : public FrontDoor {
 public:
  DescriptorDoor(std::unique_ptr<ExternalConnectionAcceptor> acceptor,
                 std::unique_ptr<Listener> listener)
      : acceptor_(std::move(acceptor)), listener_(std::move(listener)), port_(listener_->port()) {}

  void Open() override {
    listener_->Run([acceptor = acceptor_.get()](int descriptor) {
      ExternalConnectionAcceptor::NewConnectionParameters connection;
      connection.fd = descriptor;
      acceptor->HandleNewConnection(&connection);
    });
  }
  int port() const override { return port_; }
  void Close() override { listener_.reset(); }

 private:
  const std::unique_ptr<ExternalConnectionAcceptor> acceptor_;
  std::unique_ptr<Listener> listener_;  // hands connections to the acceptor
  const int port_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<FrontDoor>> MakeFrontDoor(
    const Listener::Options& options, std::shared_ptr<grpc::ServerCredentials> credentials,
    grpc::ServerBuilder* builder) {
  auto acceptor = builder->experimental().AddExternalConnectionAcceptor(
      grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
      std::move(credentials));
  KV_ASSIGN_OR_RETURN(std::unique_ptr<Listener> listener, Listener::Open(options));
  return std::make_unique<DescriptorDoor>(std::move(acceptor), std::move(listener));
}

}  // namespace kvstore
