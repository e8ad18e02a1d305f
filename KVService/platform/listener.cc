#include "KVService/platform/listener.h"

#include <charconv>

#include "absl/status/status.h"

namespace kvstore {

absl::StatusOr<Listener::Options> Listener::Parse(std::string_view address) {
  constexpr std::string_view kUnix = "unix:";
  Options options;
  if (address.starts_with(kUnix)) {
    options.unix_path = address.substr(kUnix.size());
    if (!options.unix_path.empty() && options.unix_path.size() <= kLongestPath) {
      return options;
    }
    return absl::InvalidArgumentError("a socket's path has 1 to " +
                                      std::to_string(kLongestPath) +
                                      " bytes: " + std::string(address));
  }
  const size_t colon = address.rfind(':');
  if (colon != 0 && colon != std::string_view::npos) {
    const char* const end = address.data() + address.size();
    const auto [rest, error] = std::from_chars(address.data() + colon + 1, end, options.port);
    options.host = address.substr(0, colon);
    const bool one_host = options.host.front() == '[' ? options.host.back() == ']'
                                                      : options.host.find(':') == std::string::npos;
    if (error == std::errc() && rest == end && options.port >= 0 && options.port <= 65535 &&
        one_host) {
      return options;
    }
  }
  return absl::InvalidArgumentError("an address is unix:PATH, HOST:PORT or [IPv6]:PORT, not " +
                                    std::string(address));
}

}  // namespace kvstore
