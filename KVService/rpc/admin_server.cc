#include "KVService/rpc/admin_server.h"

#include <grpcpp/resource_quota.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <spdlog/fmt/fmt.h>

#include <chrono>
#include <utility>

#include "KVCommon/limits.h"
#include "KVCommon/status_macros.h"
#include "KVService/platform/listener.h"
#include "KVService/platform/network.h"
#include "KVService/rpc/admin_service.h"
#include "KVService/rpc/front_door.h"
#include "KVService/rpc/tls_credentials.h"

namespace kvstore {
namespace {

// Calls at a time, each with its thread, of which gRPC needs a few itself.
constexpr int kMostThreads = 20;

absl::Status CheckSafety(const AdminServerOptions& options, const Listener::Options& address) {
  if (!address.unix_path.empty()) return absl::OkStatus();
  if (options.access == nullptr) {
    return absl::InvalidArgumentError(
        "an administrator's port needs --admin-auth FILE, which says who may use it; or let them "
        "use a socket that only this user can connect to: --admin unix:PATH");
  }
  if (options.tls == nullptr && !IsLoopback(address.host)) {
    return absl::InvalidArgumentError(
        "administrators' tokens would travel unencrypted: give --tls-cert and --tls-key, or take "
        "an address of the loopback for --admin");
  }
  return absl::OkStatus();
}

}  // namespace

struct AdminServer::Parts {
  Parts(AdminTarget target, const AccessControl* access) : service(std::move(target), access) {}

  AdminService service;
  std::unique_ptr<FrontDoor> door;
  std::unique_ptr<grpc::Server> server;
};

absl::StatusOr<std::unique_ptr<AdminServer>> AdminServer::Start(const AdminServerOptions& options,
                                                                AdminTarget target) {
  KV_ASSIGN_OR_RETURN(const Listener::Options address, Listener::Parse(options.address));
  KV_RETURN_IF_ERROR(CheckSafety(options, address));
  auto parts = std::make_unique<Parts>(std::move(target), options.access);
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(kMaxAdminMessageBytes);
  builder.SetMaxSendMessageSize(kMaxAdminMessageBytes);
  builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MIN_POLLERS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 2);
  grpc::ResourceQuota quota("admin");
  quota.SetMaxThreads(kMostThreads);
  builder.SetResourceQuota(quota);
  const bool tls = options.tls != nullptr && address.unix_path.empty();
  auto door = MakeFrontDoor(
      address, tls ? MakeTlsCredentials(options.tls) : grpc::InsecureServerCredentials(), &builder);
  if (!door.ok()) {
    return absl::UnavailableError(fmt::format("cannot listen for administrators at {}: {}",
                                              options.address,
                                              std::string(door.status().message())));
  }
  parts->door = *std::move(door);
  builder.RegisterService(&parts->service);
  parts->server = builder.BuildAndStart();
  if (!parts->server) {
    return absl::UnavailableError(fmt::format(
        "cannot listen for administrators at {}: gRPC does not start", options.address));
  }
  parts->door->Open();
  return std::unique_ptr<AdminServer>(new AdminServer(std::move(parts)));
}

AdminServer::AdminServer(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

AdminServer::~AdminServer() {
  parts_->door->Close();
  parts_->server->Shutdown(std::chrono::system_clock::now());
}

int AdminServer::port() const { return parts_->door->port(); }

}  // namespace kvstore
