// What only libcurl tells of its connections.
#include <gtest/gtest.h>

#include <future>
#include <thread>
#include <vector>

#include "KVService/http/curl_http_client.h"
#include "KVService/http/http_testing.h"
#include "KVService/http/test_server.h"

namespace kvstore::testing {
namespace {

TEST(CurlConnectionsTest, AreCounted) {
  Gate gate;
  TestServer server(gate.handler());
  HttpClientOptions options;
  options.threads = 1;
  options.max_connections = 2;
  CurlHttpClient client(options);
  EXPECT_EQ(client.stats().open_connections, 0u);
  std::vector<std::future<absl::StatusOr<HttpResponse>>> responses;
  for (int i = 0; i < 5; ++i) {
    responses.push_back(SendAsync(client, Request(HttpMethod::kGet, server.Url())));
  }
  while (client.stats().open_connections < 2) std::this_thread::yield();
  gate.Open();
  for (auto& response : responses) EXPECT_TRUE(response.get().ok());
  EXPECT_EQ(client.stats().open_connections, 2u) << "kept for the next requests";
  EXPECT_EQ(client.stats().opened_connections, 2u);
  client.Shutdown();
  EXPECT_EQ(client.stats().open_connections, 0u);
  EXPECT_EQ(client.stats().opened_connections, 2u);
}

}  // namespace
}  // namespace kvstore::testing
