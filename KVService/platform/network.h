// The machine's network interfaces, as far as outgoing connections may be spread over them.
#ifndef KVSERVICE_PLATFORM_NETWORK_H_
#define KVSERVICE_PLATFORM_NETWORK_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

struct sockaddr;

namespace kvstore {

struct NetworkInterface {
  std::string name;                    // such as eth0
  std::vector<std::string> addresses;  // IPv4 and IPv6, as text, in the system's order
};

// Those that could carry traffic to other machines: Ethernet (bonds and VLANs are), up and with a
// carrier, with an address that is neither loopback nor link-local. Tunnels, InfiniBand and bridges
// of containers are not: they lead elsewhere than to the storage. Ordered by name.
// May block for as long as the system changes its network; UNAVAILABLE where it does not say.
absl::StatusOr<std::vector<NetworkInterface>> UsableInterfaces();

enum class AddressFamily { kNone, kIpv4, kIpv6 };

// kNone: the text is no address, but may be a name.
AddressFamily FamilyOf(const std::string& address);

// An address as text; empty for one that no other machine can reach, or of another family.
std::string ReachableAddress(const sockaddr* address);

// Whether it is an address, or the usual name, of this very machine's loopback. An IPv6 address may
// stand in brackets.
bool IsLoopback(std::string host);

}  // namespace kvstore

#endif  // KVSERVICE_PLATFORM_NETWORK_H_
