#include <arpa/inet.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>

#include "KVService/platform/peers.h"

namespace kvstore {
namespace {

constexpr size_t kMostLines = 200'000;
constexpr unsigned kEstablished = 1;

// Of an address as these tables have it: words of four bytes in the machine's order, in hex.
std::string TextOf(const std::string& hex) {
  std::array<unsigned char, 16> bytes{};
  const size_t words = std::min<size_t>(hex.size() / 8, 4);
  for (size_t i = 0; i < words; ++i) {
    const auto word =
        static_cast<uint32_t>(std::strtoul(hex.substr(i * 8, 8).c_str(), nullptr, 16));
    std::memcpy(bytes.data() + i * 4, &word, 4);
  }
  constexpr unsigned char kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  const bool mapped = words == 4 && std::memcmp(bytes.data(), kMapped, sizeof kMapped) == 0;
  std::array<char, INET6_ADDRSTRLEN> text{};
  const int family = words == 4 && !mapped ? AF_INET6 : AF_INET;
  inet_ntop(family, bytes.data() + (mapped ? 12 : 0), text.data(), text.size());
  return text.data();
}

// "   0: 0100007F:C383 0100007F:9C40 01 …": a number, local, remote, state.
absl::Status Count(const std::string& path, unsigned port, std::map<std::string, uint64_t>* peers) {
  std::ifstream table(path);
  if (!table) return absl::UnimplementedError(fmt::format("{} cannot be read", path));
  std::string line;
  for (size_t lines = 0; lines < kMostLines && std::getline(table, line); ++lines) {
    std::array<char, 33> local{}, remote{};
    unsigned local_port = 0, remote_port = 0, state = 0;
    if (std::sscanf(line.c_str(), " %*u: %32[0-9A-Fa-f]:%x %32[0-9A-Fa-f]:%x %x", local.data(),
                    &local_port, remote.data(), &remote_port, &state) != 5) {
      continue;
    }
    if (local_port == port && state == kEstablished) ++(*peers)[TextOf(remote.data())];
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<Peer>> PeersOf(int port) {
  std::map<std::string, uint64_t> counts;
  const absl::Status four = Count("/proc/self/net/tcp", static_cast<unsigned>(port), &counts);
  const absl::Status six = Count("/proc/self/net/tcp6", static_cast<unsigned>(port), &counts);
  if (!four.ok() && !six.ok()) return four;
  std::vector<Peer> peers;
  for (const auto& [address, connections] : counts) peers.push_back({address, connections});
  std::stable_sort(peers.begin(), peers.end(),
                   [](const Peer& a, const Peer& b) { return a.connections > b.connections; });
  return peers;
}

}  // namespace kvstore
