// What a name server that does not answer may hold up.
#include <gtest/gtest.h>

#include "KVService/http/curl_http_client.h"
#include "KVService/http/http_testing.h"
#include "KVService/http/test_dns.h"
#include "KVService/http/test_server.h"

namespace kvstore::testing {
namespace {

TEST(CurlResolverTest, AResolverThatStallsHoldsUpNobodyElse) {
  TestServer server(
      [](const TestRequest&, TestConnection& connection) { connection.Reply(200, "here"); });
  const std::string named =
      "http://host" + std::string(kTestDomain) + ":" + std::to_string(server.port()) + "/";
  HttpClientOptions options;
  options.threads = 1;
  options.max_connections = 1;
  options.multi_nic = false;
  CurlHttpClient client(options);
  SetDns(Dns::kStalls);
  HttpRequest request = Request(HttpMethod::kGet, named);
  request.deadline = absl::Now() + absl::Milliseconds(100);
  auto late = SendAsync(client, request);
  // On the one thread that ends it.
  EXPECT_TRUE(SendNow(client, Request(HttpMethod::kGet, server.Url())).ok());
  const bool in_time = late.wait_for(std::chrono::seconds(20)) == std::future_status::ready;
  EXPECT_TRUE(in_time) << "ending a request waited for the resolver";
  EXPECT_TRUE(SendNow(client, Request(HttpMethod::kGet, server.Url())).ok());
  SetDns(Dns::kAnswers);
  EXPECT_TRUE(absl::IsDeadlineExceeded(late.get().status()));
  EXPECT_TRUE(SendNow(client, Request(HttpMethod::kGet, named)).ok());
}

}  // namespace
}  // namespace kvstore::testing
