#include <winsock2.h>
#include <ws2tcpip.h>
// Which needs those.
#include <iphlpapi.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <vector>

#include "KVService/platform/peers.h"
#include "KVService/platform/windows_error.h"

namespace kvstore {
namespace {

std::string TextOf(int family, const void* address) {
  char text[INET6_ADDRSTRLEN] = "";
  inet_ntop(family, address, text, sizeof text);
  return text;
}

// Of a connection's row, IPv4 or IPv6.
std::string RemoteOf(const MIB_TCPROW_OWNER_PID& row) { return TextOf(AF_INET, &row.dwRemoteAddr); }
std::string RemoteOf(const MIB_TCP6ROW_OWNER_PID& row) {
  // An IPv4 peer of a socket of both kinds, as its own address.
  constexpr unsigned char kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (std::memcmp(row.ucRemoteAddr, kMapped, sizeof kMapped) == 0) {
    return TextOf(AF_INET, row.ucRemoteAddr + sizeof kMapped);
  }
  return TextOf(AF_INET6, row.ucRemoteAddr);
}

template <typename Table>
absl::Status Count(ULONG family, int port, std::map<std::string, uint64_t>* peers) {
  std::vector<std::max_align_t> memory;
  DWORD bytes = 64 << 10;
  DWORD error = ERROR_INSUFFICIENT_BUFFER;
  for (int tries = 0; error == ERROR_INSUFFICIENT_BUFFER && tries < 5; ++tries) {
    memory.resize(bytes / sizeof(std::max_align_t) + 1);
    error = GetExtendedTcpTable(memory.data(), &bytes, FALSE, family,
                                TCP_TABLE_OWNER_PID_CONNECTIONS, 0);
  }
  if (error != NO_ERROR) return absl::UnimplementedError(windows::Reason(error));
  const auto* const table = reinterpret_cast<const Table*>(memory.data());
  for (DWORD i = 0; i < table->dwNumEntries; ++i) {
    const auto& row = table->table[i];
    if (row.dwState != MIB_TCP_STATE_ESTAB) continue;
    if (ntohs(static_cast<uint16_t>(row.dwLocalPort)) == port) ++(*peers)[RemoteOf(row)];
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<Peer>> PeersOf(int port) {
  std::map<std::string, uint64_t> counts;
  const absl::Status four = Count<MIB_TCPTABLE_OWNER_PID>(AF_INET, port, &counts);
  const absl::Status six = Count<MIB_TCP6TABLE_OWNER_PID>(AF_INET6, port, &counts);
  if (!four.ok() && !six.ok()) return four;
  std::vector<Peer> peers;
  for (const auto& [address, connections] : counts) peers.push_back({address, connections});
  std::stable_sort(peers.begin(), peers.end(),
                   [](const Peer& a, const Peer& b) { return a.connections > b.connections; });
  return peers;
}

}  // namespace kvstore
