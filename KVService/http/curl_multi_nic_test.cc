// Several interfaces, as addresses of the loopback. Real ones are in tests/multi_nic_test.py.
#include <gtest/gtest.h>

#include <future>
#include <map>
#include <thread>

#include "KVService/http/curl_http_client.h"
#include "KVService/http/http_testing.h"
#include "KVService/http/test_server.h"

namespace kvstore::testing {
namespace {

// Answers with the address that the connection comes from.
TestServer::Handler TellPeer() {
  return [](const TestRequest&, TestConnection& connection) {
    connection.Reply(200, connection.peer());
  };
}

HttpClientOptions Over(std::vector<NetworkInterface> interfaces) {
  HttpClientOptions options;
  options.list_interfaces = [interfaces] { return interfaces; };
  return options;
}

const NetworkInterface kA = {"a", {"127.0.0.2"}};
const NetworkInterface kB = {"b", {"127.0.0.3"}};
const NetworkInterface kBroken = {"c", {"203.0.113.77"}};  // of no interface here

// curl takes it for the loopback; whether it is one cannot be seen from the name.
std::string NamedUrl(const TestServer& server) {
  return "http://kvstore.localhost:" + std::to_string(server.port()) + "/";
}

std::map<std::string, int> Count(CurlHttpClient& client, const std::string& url, int requests,
                                 int at_once) {
  std::map<std::string, int> peers;
  for (int i = 0; i < requests; i += at_once) {
    std::vector<std::future<absl::StatusOr<HttpResponse>>> responses;
    for (int j = 0; j < at_once; ++j) {
      responses.push_back(SendAsync(client, Request(HttpMethod::kGet, url)));
    }
    for (auto& future : responses) {
      const auto response = future.get();
      EXPECT_TRUE(response.ok()) << response.status();
      if (response.ok()) ++peers[Body(*response)];
    }
  }
  return peers;
}

TEST(CurlHttpClientMultiNicTest, RequestsTakeTurnsAndConnectionsAreReused) {
  TestServer server(TellPeer());
  HttpClientOptions options = Over({kA, kB});
  options.threads = 1;
  CurlHttpClient client(options);
  EXPECT_EQ(Count(client, server.Url(), 40, 1),
            (std::map<std::string, int>{{"127.0.0.2", 20}, {"127.0.0.3", 20}}));
  EXPECT_EQ(server.connections(), 2);
}

TEST(CurlHttpClientMultiNicTest, SharesStayEvenWithManyAtOnceAndFewConnections) {
  TestServer server(TellPeer());
  HttpClientOptions options = Over({kA, kB});
  options.max_connections = 8;
  CurlHttpClient client(options);
  const auto peers = Count(client, server.Url(), 640, 32);
  ASSERT_EQ(peers.size(), 2);
  EXPECT_LE(peers.at("127.0.0.2"), 1.5 * peers.at("127.0.0.3"));
  EXPECT_LE(peers.at("127.0.0.3"), 1.5 * peers.at("127.0.0.2"));
  EXPECT_LE(server.most_open(), 8);
  EXPECT_EQ(server.connections(), 8);  // nothing is closed to make room for another interface's
}

TEST(CurlHttpClientMultiNicTest, OffOrAloneBindsNothing) {
  TestServer server(TellPeer());
  HttpClientOptions off = Over({kA, kB});
  off.multi_nic = false;
  for (const HttpClientOptions& options : {off, Over({kA}), Over({})}) {
    CurlHttpClient client(options);
    EXPECT_EQ(Count(client, server.Url(), 4, 1), (std::map<std::string, int>{{"127.0.0.1", 4}}));
  }
}

TEST(CurlHttpClientMultiNicTest, NothingIsBoundForTheLoopback) {
  TestServer server(TellPeer());
  CurlHttpClient client(Over({{"a", {"203.0.113.77"}}, {"b", {"203.0.113.78"}}}));
  EXPECT_EQ(Count(client, server.Url(), 4, 1), (std::map<std::string, int>{{"127.0.0.1", 4}}));
}

TEST(CurlHttpClientMultiNicTest, WhatFailsOnOneInterfaceGoesOutOnAnother) {
  TestServer server(TellPeer());
  CurlHttpClient client(Over({kA, kBroken}));
  EXPECT_EQ(Count(client, NamedUrl(server), 20, 4),
            (std::map<std::string, int>{{"127.0.0.2", 20}}));
}

TEST(CurlHttpClientMultiNicTest, WhereAllInterfacesFailTheSystemChooses) {
  TestServer server(TellPeer());
  CurlHttpClient client(Over({{"a", {"203.0.113.77"}}, {"b", {"203.0.113.78"}}}));
  EXPECT_EQ(Count(client, NamedUrl(server), 8, 2), (std::map<std::string, int>{{"127.0.0.1", 8}}));
}

TEST(CurlHttpClientMultiNicTest, NobodyThereIsStillUnavailable) {
  CurlHttpClient client(Over({kA, kB}));
  const auto refused = SendNow(client, Request(HttpMethod::kGet, "http://127.0.0.1:1/"));
  EXPECT_TRUE(absl::IsUnavailable(refused.status())) << refused.status();
}

TEST(CurlHttpClientMultiNicTest, AnInterfaceThatGoesAwayTakesItsRequestsAlongAndMayComeBack) {
  std::atomic<bool> gone = false, stall = true;
  TestServer server([&](const TestRequest&, TestConnection& connection) {
    if (stall && connection.peer() == "127.0.0.3") return connection.WaitForPeerToClose();
    connection.Reply(200, connection.peer());
  });
  HttpClientOptions options;
  options.list_interfaces = [&] {
    return gone ? std::vector<NetworkInterface>{kA} : std::vector<NetworkInterface>{kA, kB};
  };
  CurlHttpClient client(options);
  // One of them hangs on each interface's other end.
  auto first = SendAsync(client, Request(HttpMethod::kGet, server.Url()));
  auto second = SendAsync(client, Request(HttpMethod::kGet, server.Url()));
  auto third = SendAsync(client, Request(HttpMethod::kGet, server.Url()));
  auto fourth = SendAsync(client, Request(HttpMethod::kGet, server.Url()));
  while (server.requests() < 4) absl::SleepFor(absl::Milliseconds(1));
  gone = true;
  int lost = 0;
  for (auto* future : {&first, &second, &third, &fourth}) {
    const auto response = future->get();
    if (response.ok()) continue;
    EXPECT_TRUE(absl::IsUnavailable(response.status())) << response.status();
    EXPECT_NE(response.status().ToString().find("127.0.0.3"), std::string::npos);
    ++lost;
  }
  EXPECT_EQ(lost, 2);
  stall = false;
  EXPECT_EQ(Count(client, server.Url(), 8, 2), (std::map<std::string, int>{{"127.0.0.2", 8}}));
  gone = false;
  while (Count(client, server.Url(), 8, 2).size() < 2) absl::SleepFor(absl::Milliseconds(50));
}

}  // namespace
}  // namespace kvstore::testing
