// What an HttpClient keeps to, whatever library it stands on.
#ifndef KVSERVICE_HTTP_HTTP_CLIENT_OPTIONS_H_
#define KVSERVICE_HTTP_HTTP_CLIENT_OPTIONS_H_

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "KVService/platform/network.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace kvstore {

struct HttpClientOptions {
  size_t threads = 2;
  size_t max_connections = 100;  // to one endpoint (scheme, host and port), of all threads
  size_t max_pending = 4096;     // requests that are not finished; timers are bounded by it too
  absl::Duration connect_timeout = absl::Seconds(10);
  absl::Duration max_request_time = absl::Minutes(10);  // even where a request has no deadline
  absl::Duration max_idle = absl::Seconds(118);         // an older connection is not reused
  absl::Duration dns_cache = absl::Seconds(300);
  // Spreads connections evenly over the machine's network interfaces, where there are several, and
  // leaves out those that do not work (source_addresses.h).
  bool multi_nic = true;
  std::function<absl::StatusOr<std::vector<NetworkInterface>>()> list_interfaces = UsableInterfaces;
  std::string ca_file;  // PEM; trusted instead of the system's. Certificates are always checked
  std::string proxy;    // URL of one for all requests; empty: none, whatever the environment says
  // One line an exchange, without secrets (exchange_log.h). Thread-safe; empty: no log.
  std::function<void(const std::string& line)> log;
};

}  // namespace kvstore

#endif  // KVSERVICE_HTTP_HTTP_CLIENT_OPTIONS_H_
