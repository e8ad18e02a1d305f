#include "KVService/accounts/account_resolver.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_join.h"

namespace kvstore {

absl::Status CheckContainer(const Account& account, const std::string& container,
                            const std::string& advice) {
  const std::vector<std::string>& known = account.containers;
  if (known.empty() || std::find(known.begin(), known.end(), container) != known.end()) {
    return absl::OkStatus();
  }
  return absl::PermissionDeniedError(
      fmt::format("account '{}' has no container '{}' for this server, only {}; {}", account.name,
                  container, absl::StrJoin(known, ", "), advice));
}

absl::Status CheckAccountName(const std::string& account) {
  const bool fits = account.size() >= 3 && account.size() <= 24 &&
                    std::all_of(account.begin(), account.end(), [](unsigned char c) {
                      return absl::ascii_islower(c) || absl::ascii_isdigit(c);
                    });
  if (fits) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("account '{}' cannot be one of Azure Storage: such names have 3 to 24 lower-case "
                  "letters and digits",
                  account));
}

absl::Status CheckEndpoint(const std::string& endpoint) {
  const bool https = endpoint.starts_with("https://");
  if (!https && !endpoint.starts_with("http://")) {
    return absl::InvalidArgumentError("the endpoint is neither http:// nor https://");
  }
  const size_t host = https ? 8 : 7;
  const bool printable = std::all_of(endpoint.begin(), endpoint.end(),
                                     [](unsigned char c) { return absl::ascii_isgraph(c); });
  if (!printable || endpoint.size() == host || endpoint[host] == '/' || endpoint.ends_with('/') ||
      endpoint.find_first_of("?#@\\", host) != std::string::npos) {
    return absl::InvalidArgumentError(
        "the endpoint is no plain URL: scheme, host, perhaps a port and a path, and no query, user "
        "or '/' at its end");
  }
  return absl::OkStatus();
}

}  // namespace kvstore
