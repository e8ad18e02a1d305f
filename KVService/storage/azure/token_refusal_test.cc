// A service that revokes tokens before they expire, on real sockets.
#include <gtest/gtest.h>

#include <atomic>

#include "KVService/http/curl_http_client.h"
#include "KVService/http/http_testing.h"
#include "KVService/http/test_server.h"
#include "KVService/storage/azure/managed_identity.h"
#include "KVService/storage/azure/pipeline.h"
#include "KVService/storage/azure/token_credential.h"

namespace kvstore::azure {
namespace {

using testing::TestConnection;
using testing::TestRequest;
using testing::TestServer;

class TokenRefusalTest : public ::testing::Test {
 protected:
  TokenRefusalTest() {
    ManagedIdentityOptions identity;
    identity.imds_endpoint = tokens_.Url().substr(0, tokens_.Url().size() - 1);
    TokenCacheOptions options;
    options.refusal_rest = absl::ZeroDuration();
    cache_ =
        TokenCache::Make(&http_, MakeManagedIdentitySource({&http_, &files_}, identity), options);
    pipeline_ = Pipeline::Make(&http_, MakeTokenCredential(cache_), {});
  }
  ~TokenRefusalTest() override { http_.Shutdown(); }

  // The statuses that so many requests at once get.
  std::vector<int> Send(int requests) {
    std::vector<std::promise<int>> answers(requests);
    for (std::promise<int>& answer : answers) {
      pipeline_->Send(testing::Request(HttpMethod::kPut, service_.Url("/blob"),
                                       {Slice::CopyOf(AsBytes(testing::Pattern(10000)))}),
                      [&](absl::StatusOr<Exchange> exchange) {
                        answer.set_value(exchange.ok() ? exchange->response.status : 0);
                      });
    }
    std::vector<int> statuses;
    for (std::promise<int>& answer : answers) statuses.push_back(answer.get_future().get());
    return statuses;
  }

  std::atomic<int> given_ = 0;     // tokens; the last one's number
  std::atomic<int> accepted_ = 1;  // tokens from that number on
  TestServer tokens_{[this](const TestRequest&, TestConnection& connection) {
    connection.Reply(200, R"({"expires_in":3600,"token_type":"Bearer","access_token":"token-)" +
                              std::to_string(++given_) + "\"}");
  }};
  TestServer service_{[this](const TestRequest& request, TestConnection& connection) {
    EXPECT_EQ(request.body, testing::Pattern(10000));
    const std::string& authorization = request.headers.at("authorization");
    EXPECT_EQ(authorization.find("Bearer token-"), 0u);
    const bool good = std::stoi(authorization.substr(13)) >= accepted_;
    connection.Reply(good ? 201 : 401, "");
  }};
  ThreadPool files_{"kv-token", 1, 16};
  CurlHttpClient http_{HttpClientOptions()};
  std::shared_ptr<TokenCache> cache_;
  std::shared_ptr<Pipeline> pipeline_;
};

TEST_F(TokenRefusalTest, ARevokedTokenIsReplacedOnceAndNobodyNotices) {
  for (int round = 1; round <= 5; ++round) {
    accepted_ = round;
    EXPECT_EQ(Send(30), std::vector<int>(30, 201));
    EXPECT_EQ(given_, round);
  }
}

TEST_F(TokenRefusalTest, AServiceThatRefusesEverythingIsAskedTwiceARequest) {
  accepted_ = 1 << 30;
  EXPECT_EQ(Send(1), std::vector<int>{401});
  EXPECT_EQ(service_.requests(), 2);
  EXPECT_EQ(given_, 2);
  EXPECT_EQ(Send(30), std::vector<int>(30, 401));
  EXPECT_LE(service_.requests(), 62);
}

}  // namespace
}  // namespace kvstore::azure
