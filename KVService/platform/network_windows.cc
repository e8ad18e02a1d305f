#include <winsock2.h>
#include <ws2tcpip.h>
// Which needs those.
#include <iphlpapi.h>

#include <algorithm>
#include <vector>

#include "KVService/platform/network.h"
#include "KVService/platform/windows_error.h"

namespace kvstore {
namespace {

// Empty for one that nobody else can reach.
std::string TextOf(const sockaddr* address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address->sa_family == AF_INET) {
    const in_addr ip = reinterpret_cast<const sockaddr_in*>(address)->sin_addr;
    const uint32_t host = ntohl(ip.s_addr);
    const bool link_local = host >> 16 == (169u << 8 | 254u);
    if (link_local || host >> 24 == 127 || host == INADDR_ANY) return "";
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
  constexpr ULONG kFlags =
      GAA_FLAG_SKIP_ANYCAST | GAA_FLAG_SKIP_MULTICAST | GAA_FLAG_SKIP_DNS_SERVER;
  std::vector<std::max_align_t> memory;
  ULONG bytes = 32 << 10;
  ULONG error = ERROR_BUFFER_OVERFLOW;
  // It tells how much it needs, which may have grown until it is asked again.
  for (int tries = 0; error == ERROR_BUFFER_OVERFLOW && tries < 5; ++tries) {
    memory.resize(bytes / sizeof(std::max_align_t) + 1);
    error = GetAdaptersAddresses(AF_UNSPEC, kFlags, nullptr,
                                 reinterpret_cast<IP_ADAPTER_ADDRESSES*>(memory.data()), &bytes);
  }
  std::vector<NetworkInterface> usable;
  if (error == ERROR_NO_DATA) return usable;
  if (error != NO_ERROR) {
    return absl::UnavailableError("GetAdaptersAddresses: " + windows::Reason(error));
  }
  for (const auto* adapter = reinterpret_cast<const IP_ADAPTER_ADDRESSES*>(memory.data());
       adapter != nullptr; adapter = adapter->Next) {
    if (adapter->IfType != IF_TYPE_ETHERNET_CSMACD || adapter->OperStatus != IfOperStatusUp) {
      continue;
    }
    NetworkInterface found;
    found.name = windows::Narrow(adapter->FriendlyName);
    for (const auto* entry = adapter->FirstUnicastAddress; entry != nullptr; entry = entry->Next) {
      std::string text = TextOf(entry->Address.lpSockaddr);
      if (!text.empty()) found.addresses.push_back(std::move(text));
    }
    if (!found.addresses.empty()) usable.push_back(std::move(found));
  }
  std::sort(usable.begin(), usable.end(),
            [](const NetworkInterface& a, const NetworkInterface& b) { return a.name < b.name; });
  return usable;
}

}  // namespace kvstore
