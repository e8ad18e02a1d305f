#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <netpacket/packet.h>
#include <sys/socket.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <system_error>

#include "KVService/platform/network.h"

namespace kvstore {

namespace {

struct Seen {
  bool ethernet = false;
  std::vector<std::string> addresses;
};

bool IsBridge(const std::string& name) {
  std::error_code unknown;
  return std::filesystem::exists("/sys/class/net/" + name + "/bridge", unknown);
}

// Empty for one that nobody else can reach.
std::string TextOf(const sockaddr* address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address->sa_family == AF_INET) {
    const in_addr ip = reinterpret_cast<const sockaddr_in*>(address)->sin_addr;
    const uint32_t host = ntohl(ip.s_addr);
    const bool link_local = host >> 16 == (169u << 8 | 254u);
    if (link_local || host >> 24 == IN_LOOPBACKNET || host == INADDR_ANY) return "";
    inet_ntop(AF_INET, &ip, text, sizeof(text));
  } else if (address->sa_family == AF_INET6) {
    const in6_addr& ip = reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr;
    if (IN6_IS_ADDR_LINKLOCAL(&ip) || IN6_IS_ADDR_LOOPBACK(&ip) || IN6_IS_ADDR_UNSPECIFIED(&ip)) {
      return "";
    }
    inet_ntop(AF_INET6, &ip, text, sizeof(text));
  }
  return text;
}

}  // namespace

absl::StatusOr<std::vector<NetworkInterface>> UsableInterfaces() {
  ifaddrs* first = nullptr;
  if (getifaddrs(&first) != 0) {
    return absl::UnavailableError("getifaddrs: " + std::generic_category().message(errno));
  }
  const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> all(first, &freeifaddrs);
  std::map<std::string, Seen> seen;
  for (const ifaddrs* entry = first; entry != nullptr; entry = entry->ifa_next) {
    constexpr unsigned kWanted = IFF_UP | IFF_RUNNING;
    constexpr unsigned kUnwanted = IFF_LOOPBACK | IFF_POINTOPOINT;
    if (entry->ifa_addr == nullptr) continue;
    if ((entry->ifa_flags & (kWanted | kUnwanted)) != kWanted) continue;
    Seen& interface = seen[entry->ifa_name];
    if (entry->ifa_addr->sa_family == AF_PACKET) {
      const auto* link = reinterpret_cast<const sockaddr_ll*>(entry->ifa_addr);
      interface.ethernet = link->sll_hatype == ARPHRD_ETHER;
    } else if (std::string text = TextOf(entry->ifa_addr); !text.empty()) {
      interface.addresses.push_back(std::move(text));
    }
  }
  std::vector<NetworkInterface> usable;
  for (auto& [name, interface] : seen) {
    if (!interface.ethernet || interface.addresses.empty() || IsBridge(name)) continue;
    usable.push_back({name, std::move(interface.addresses)});
  }
  return usable;
}

}  // namespace kvstore
