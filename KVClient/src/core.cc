#include "KVClient/src/core.h"

#include <algorithm>

#include "KVClient/src/grpc_bytes.h"
#include "KVClient/src/server_list.h"
#include "KVCommon/status_macros.h"
#include "KVCommon/wire.h"

namespace kvstore::client {
namespace {

// Longer ones would overflow the clock's arithmetic; nobody waits a day for a cache.
constexpr std::chrono::milliseconds kLongestCall = std::chrono::hours(24);

// A Lookup of no full block: it finds nothing and costs next to nothing.
grpc::ByteBuffer PingMessage(const ClientOptions& options) {
  const Token token = 0;
  return ToByteBuffer(wire::LookupRequestView{.resource_name = options.resource,
                                              .container_name = options.container,
                                              .partition_key = "ping",
                                              .completion_id = "ping",
                                              .tokens = {&token, 1}});
}

}  // namespace

Core::Core(ClientOptions its_options, std::vector<std::string> names,
           const ChannelSecurity& security, std::unique_ptr<TokenSource> token)
    : options(std::move(its_options)),
      fleet(std::make_shared<Fleet>(std::move(names), options.connections, security,
                                    std::move(token), PingMessage(options), options.log)) {}

absl::StatusOr<std::shared_ptr<Core>> Core::Create(ClientOptions options) {
  if (options.resource.empty()) {
    return absl::InvalidArgumentError("no resource: name the storage account, or give its URL");
  }
  if (options.container.empty()) return absl::InvalidArgumentError("no container");
  if (options.connections < 1 || options.connections > kMaxConnections) {
    return absl::InvalidArgumentError("connections: " + std::to_string(options.connections) +
                                      ", expected 1 to " + std::to_string(kMaxConnections));
  }
  if (options.timeout.count() <= 0) return absl::InvalidArgumentError("timeout must be positive");
  KV_ASSIGN_OR_RETURN(auto names, ParseServerList(ServerListOrDefault(options.servers)));
  KV_ASSIGN_OR_RETURN(const ChannelSecurity security, OpenChannelSecurity(options.tls));
  KV_ASSIGN_OR_RETURN(auto token, TokenSource::Open(options));
  options.token.clear();  // kept in one place
  if (token != nullptr && !security.tls && !AllLocal(names) && options.log) {
    options.log(LogLevel::Error,
                "the token travels unencrypted, and whoever listens can use it: give tls.ca_file "
                "(KVSTORE_TLS_CA)");
  }
  return std::make_shared<Core>(std::move(options), std::move(names), security, std::move(token));
}

Clock::time_point Core::DeadlineOf(const CallOptions& call) const {
  const auto timeout = call.timeout.count() != 0 ? call.timeout : options.timeout;
  return Clock::now() + std::clamp(timeout, std::chrono::milliseconds(0), kLongestCall);
}

absl::Status OutOfRetries(const absl::Status& status) {
  return absl::Status(status.code(),
                      std::string(status.message()) +
                          "; not tried again, since too many calls of late were: see whether the "
                          "servers are up and not overloaded");
}

absl::Status Explain(const absl::Status& status, const std::string& operation,
                     const std::string& server, int attempts, const std::string& request_id) {
  if (status.ok()) return status;
  std::string message = operation + " at " + server + " (";
  if (attempts > 1) message += std::to_string(attempts) + " attempts, ";
  message += "request " + request_id + ")";
  return absl::Status(status.code(), message + ": " + std::string(status.message()));
}

}  // namespace kvstore::client
