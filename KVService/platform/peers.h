// Who is connected to a port of this machine, as the system knows it.
#ifndef KVSERVICE_PLATFORM_PEERS_H_
#define KVSERVICE_PLATFORM_PEERS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace kvstore {

struct Peer {
  std::string address;  // IPv4 or IPv6, as text
  uint64_t connections = 0;
};

// The peers of established TCP connections to this local port, those with most connections first.
// Reads the tables of all connections of this network namespace: milliseconds where there are
// thousands. UNIMPLEMENTED on systems that have none to read.
absl::StatusOr<std::vector<Peer>> PeersOf(int port);

}  // namespace kvstore

#endif  // KVSERVICE_PLATFORM_PEERS_H_
