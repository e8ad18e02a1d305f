// The list of servers as users write it: "host:port,host:port".
#ifndef KVCLIENT_SRC_SERVER_LIST_H_
#define KVCLIENT_SRC_SERVER_LIST_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace kvstore::client {

inline constexpr int kDefaultPort = 50051;
inline constexpr size_t kMaxServers = 256;

// The gRPC targets that `list` names, in order. Items are separated by commas, blanks around them
// ignored: host, host:port, [::1]:port (IPv6 in brackets), each with an optional dns:///, ipv4: or
// ipv6: before it, or unix:path. Without a port it is 50051. INVALID_ARGUMENT says which item is
// wrong and how.
absl::StatusOr<std::vector<std::string>> ParseServerList(std::string_view list);

// `configured` where it is not empty, else the environment's KVSTORE_GRPC_SERVER, else
// localhost:50051.
std::string ServerListOrDefault(const std::string& configured);

}  // namespace kvstore::client

#endif  // KVCLIENT_SRC_SERVER_LIST_H_
