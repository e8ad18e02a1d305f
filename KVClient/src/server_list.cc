#include "KVClient/src/server_list.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <utility>

#include "KVCommon/status_macros.h"

namespace kvstore::client {
namespace {

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  const size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

bool IsAlnum(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool AllOf(std::string_view text, std::string_view also) {
  return std::all_of(text.begin(), text.end(), [also](char c) {
    return IsAlnum(c) || also.find(c) != std::string_view::npos;
  });
}

absl::Status Bad(std::string_view item, const std::string& why) {
  return absl::InvalidArgumentError("server \"" + std::string(item) + "\": " + why);
}

struct HostPort {
  std::string_view host;
  std::string_view port;
  bool has_port = false;
};

absl::StatusOr<HostPort> Split(std::string_view item, std::string_view address) {
  if (!address.empty() && address.front() == '[') {
    const size_t end = address.find(']');
    if (end == std::string_view::npos) return Bad(item, "the bracket is not closed");
    const std::string_view rest = address.substr(end + 1);
    if (!rest.empty() && rest.front() != ':') return Bad(item, "expected :port behind the bracket");
    if (end < 2 || !AllOf(address.substr(1, end - 1), ":.%")) return Bad(item, "no IPv6 address");
    return HostPort{address.substr(0, end + 1), rest.empty() ? rest : rest.substr(1),
                    !rest.empty()};
  }
  const size_t colon = address.find(':');
  if (colon != address.rfind(':')) {
    return Bad(item, "more than one colon; write an IPv6 address in brackets, as in [::1]:50051");
  }
  const bool has_port = colon != std::string_view::npos;
  HostPort parts{address.substr(0, colon), has_port ? address.substr(colon + 1) : "", has_port};
  if (parts.host.empty()) return Bad(item, "no host");
  if (!AllOf(parts.host, "._-")) return Bad(item, "a host name cannot be written like this");
  return parts;
}

absl::StatusOr<std::string> ParseServer(std::string_view item) {
  if (item.substr(0, 5) == "unix:") {
    if (item.size() == 5) return Bad(item, "no path");
    return std::string(item);
  }
  if (item.substr(0, 7) == "http://" || item.substr(0, 8) == "https://") {
    return Bad(item, "write host:port, without a scheme");
  }
  std::string_view scheme;
  for (const std::string_view known : {"dns:///", "ipv4:", "ipv6:"}) {
    if (item.substr(0, known.size()) == known) scheme = known;
  }
  KV_ASSIGN_OR_RETURN(const HostPort parts, Split(item, item.substr(scheme.size())));
  int port = kDefaultPort;
  if (parts.has_port) {
    const char* end = parts.port.data() + parts.port.size();
    const auto [stop, error] = std::from_chars(parts.port.data(), end, port);
    if (parts.port.empty() || error != std::errc() || stop != end || port < 1 || port > 65535) {
      return Bad(item, "the port must be a number from 1 to 65535");
    }
  }
  return std::string(scheme) + std::string(parts.host) + ":" + std::to_string(port);
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ParseServerList(std::string_view list) {
  std::vector<std::string> servers;
  for (size_t start = 0; start <= list.size();) {
    const size_t comma = std::min(list.find(',', start), list.size());
    const std::string_view item = Trim(list.substr(start, comma - start));
    if (item.empty()) {
      return absl::InvalidArgumentError("server list \"" + std::string(list) + "\": item " +
                                        std::to_string(servers.size() + 1) + " is empty");
    }
    KV_ASSIGN_OR_RETURN(std::string server, ParseServer(item));
    servers.push_back(std::move(server));
    start = comma + 1;
  }
  if (servers.size() > kMaxServers) {
    return absl::InvalidArgumentError("server list: " + std::to_string(servers.size()) +
                                      " servers, at most " + std::to_string(kMaxServers));
  }
  return servers;
}

std::string ServerListOrDefault(const std::string& configured) {
  if (!configured.empty()) return configured;
  const char* named = std::getenv("KVSTORE_GRPC_SERVER");
  return named != nullptr && *named != '\0' ? named : "localhost:" + std::to_string(kDefaultPort);
}

}  // namespace kvstore::client
