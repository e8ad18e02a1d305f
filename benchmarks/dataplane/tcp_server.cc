#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cstdlib>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "benchmarks/dataplane/bench_request.h"
#include "benchmarks/dataplane/memory.h"
#include "benchmarks/dataplane/servers.h"
#include "benchmarks/dataplane/socket.h"

namespace kvstore::bench {
namespace {

void Serve(Socket socket, std::span<const std::byte> arena) {
  BenchRequest request;
  std::vector<std::byte> received;
  while (socket.Receive({reinterpret_cast<std::byte*>(&request), sizeof request})) {
    if (request.send_bytes > kArenaBytes || request.answer_bytes > kArenaBytes) return;
    received.resize(request.send_bytes);
    if (!socket.Receive(received)) return;
    if (!socket.Send({}, arena.subspan(ArenaOffset(request), request.answer_bytes))) return;
  }
}

}  // namespace

bool ServeTcp(int port) {
  static Memory arena(1, kArenaBytes);
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int yes = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      listen(listener, SOMAXCONN) != 0) {
    return false;
  }
  std::thread([listener] {
    const int yes = 1;
    for (int file = accept(listener, nullptr, nullptr); file >= 0;
         file = accept(listener, nullptr, nullptr)) {
      setsockopt(file, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
      std::thread(&Serve, Socket(file), arena.slot(0)).detach();
    }
  }).detach();
  WaitForStop();
  std::_Exit(0);  // whatever connections are open
}

}  // namespace kvstore::bench
