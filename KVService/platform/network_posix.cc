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
    } else if (std::string text = ReachableAddress(entry->ifa_addr); !text.empty()) {
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
