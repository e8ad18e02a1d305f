#include <winsock2.h>
#include <ws2tcpip.h>
// Which needs those.
#include <iphlpapi.h>

#include <algorithm>
#include <vector>

#include "KVService/platform/network.h"
#include "KVService/platform/windows_error.h"

namespace kvstore {
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
      std::string text = ReachableAddress(entry->Address.lpSockaddr);
      if (!text.empty()) found.addresses.push_back(std::move(text));
    }
    if (!found.addresses.empty()) usable.push_back(std::move(found));
  }
  std::sort(usable.begin(), usable.end(),
            [](const NetworkInterface& a, const NetworkInterface& b) { return a.name < b.name; });
  return usable;
}

}  // namespace kvstore
