#include "KVClient/src/core.h"

#include <algorithm>

#include "KVClient/src/server_list.h"
#include "KVCommon/status_macros.h"

namespace kvstore::client {
namespace {

// Longer ones would overflow the clock's arithmetic; nobody waits a day for a cache.
constexpr std::chrono::milliseconds kLongestCall = std::chrono::hours(24);

}  // namespace

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
  return std::make_shared<Core>(std::move(options), std::move(names));
}

Clock::time_point Core::DeadlineOf(const CallOptions& call) const {
  const auto timeout = call.timeout.count() != 0 ? call.timeout : options.timeout;
  return Clock::now() + std::clamp(timeout, std::chrono::milliseconds(0), kLongestCall);
}

void Core::Heard(size_t server, const absl::Status& status) {
  if (status.code() == absl::StatusCode::kUnavailable) {
    if (servers.MarkDown(server, Clock::now().time_since_epoch() / std::chrono::nanoseconds(1))) {
      Log(LogLevel::Error,
          "server " + servers.name(server) + " is unavailable: " + std::string(status.message()));
    }
  } else if (status.ok() && servers.MarkUp(server)) {
    Log(LogLevel::Information, "server " + servers.name(server) + " answers again");
  }
}

absl::Status Explain(const absl::Status& status, const std::string& operation,
                     const std::string& server, int attempts) {
  if (status.ok()) return status;
  std::string message = operation + " at " + server;
  if (attempts > 1) message += " (" + std::to_string(attempts) + " attempts)";
  return absl::Status(status.code(), message + ": " + std::string(status.message()));
}

}  // namespace kvstore::client
