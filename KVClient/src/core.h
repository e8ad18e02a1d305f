// What all calls of one client share, and keep alive while they run.
#ifndef KVCLIENT_SRC_CORE_H_
#define KVCLIENT_SRC_CORE_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "KVClient/include/kvstore/client.h"
#include "KVClient/src/fleet.h"
#include "KVClient/src/load_estimator.h"
#include "KVClient/src/retry.h"
#include "KVClient/src/security.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace kvstore::client {

// Thread-safe.
struct Core {
  Core(ClientOptions its_options, std::vector<std::string> names, const ChannelSecurity& security,
       std::unique_ptr<TokenSource> token);

  // As Client::Create says.
  static absl::StatusOr<std::shared_ptr<Core>> Create(ClientOptions options);

  void Log(LogLevel level, const std::string& message) const {
    if (options.log) options.log(level, message);
  }

  // The deadline of a call that starts now.
  Clock::time_point DeadlineOf(const CallOptions& call) const;

  const ClientOptions options;
  const std::shared_ptr<Fleet> fleet;
  LoadEstimator estimator;
};

// What the retry budget's end adds to an error.
absl::Status OutOfRetries(const absl::Status& status);

// `status` with the operation, the server, the number of attempts and the request id before its
// message.
absl::Status Explain(const absl::Status& status, const std::string& operation,
                     const std::string& server, int attempts, const std::string& request_id);

}  // namespace kvstore::client

#endif  // KVCLIENT_SRC_CORE_H_
