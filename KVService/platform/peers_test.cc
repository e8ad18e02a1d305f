#include "KVService/platform/peers.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace kvstore {
namespace {

sockaddr_in6 Loopback(bool mapped, int port) {
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  inet_pton(AF_INET6, mapped ? "::ffff:127.0.0.1" : "::1", &address.sin6_addr);
  address.sin6_port = htons(static_cast<uint16_t>(port));
  return address;
}

int Connect(bool mapped, int port) {
  const int client = socket(AF_INET6, SOCK_STREAM, 0);
  const sockaddr_in6 address = Loopback(mapped, port);
  EXPECT_EQ(connect(client, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  return client;
}

TEST(PeersTest, CountsConnectionsToAPortByAddress) {
  const int listener = socket(AF_INET6, SOCK_STREAM, 0);
  ASSERT_GE(listener, 0);
  const int both = 0;  // IPv4 as well
  setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &both, sizeof both);
  sockaddr_in6 any{};
  any.sin6_family = AF_INET6;
  socklen_t size = sizeof any;
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&any), sizeof any), 0);
  ASSERT_EQ(listen(listener, 8), 0);
  getsockname(listener, reinterpret_cast<sockaddr*>(&any), &size);
  const int port = ntohs(any.sin6_port);

  const auto none = PeersOf(port);
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_TRUE(none->empty());

  const int clients[] = {Connect(true, port), Connect(true, port), Connect(false, port)};
  const auto peers = PeersOf(port);
  ASSERT_TRUE(peers.ok()) << peers.status();
  ASSERT_EQ(peers->size(), 2u);
  EXPECT_EQ((*peers)[0].address, "127.0.0.1");
  EXPECT_EQ((*peers)[0].connections, 2u);
  EXPECT_EQ((*peers)[1].address, "::1");
  EXPECT_EQ((*peers)[1].connections, 1u);
  for (const int client : clients) close(client);
  close(listener);
}

}  // namespace
}  // namespace kvstore
