#include "KVService/storage/azure/token_response.h"

#include <gtest/gtest.h>

#include "KVService/storage/azure/fake_http_client.h"
#include "KVService/storage/azure/token_credential.h"

namespace kvstore::azure {
namespace {

using testing::Answer;

const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);

TEST(TokenResponse, UnderstandsEveryEndpointsForm) {
  const std::pair<const char*, absl::Duration> cases[] = {
      // Entra
      {R"({"token_type":"Bearer","expires_in":3599,"ext_expires_in":3599,"access_token":"t.o-k"})",
       absl::Seconds(3599)},
      // IMDS
      {R"({"access_token":"t.o-k","client_id":"c","expires_in":"86399","expires_on":"1700080000",
           "ext_expires_in":"86399","not_before":"1699999000",
           "resource":"https://storage.azure.com/","token_type":"Bearer"})",
       absl::Seconds(80000)},
      // App Service
      {R"({"access_token":"t.o-k","expires_on":"1700000600","token_type":"bearer"})",
       absl::Seconds(600)},
      {R"({"access_token":"t.o-k","expires_on":1700000600,"expires_in":null})", absl::Seconds(600)},
      {R"({"access_token":"t.o-k","expires_in":60.5,"expires_on":1700000600})", absl::Seconds(60)},
  };
  for (const auto& [json, life] : cases) {
    const auto token = ParseTokenResponse(json, kNow);
    ASSERT_TRUE(token.ok()) << json << token.status();
    EXPECT_EQ(token->value, "t.o-k");
    EXPECT_EQ(token->expires, kNow + life) << json;
  }
}

TEST(TokenResponse, RefusesWhatMakesNoSenseWithoutRepeatingIt) {
  for (const std::string& json : std::vector<std::string>{
           "",
           "SECRET",
           "<html>SECRET</html>",
           R"(["SECRET"])",
           R"({"access_token":"SECRET")",
           R"({"access_token":"SECRET"})",
           R"({"access_token":"","expires_in":60})",
           R"({"access_token":17,"expires_in":60})",
           R"({"access_token":"SECRET\r\nHost: x","expires_in":60})",
           R"({"access_token":"SECRET x","expires_in":60})",
           R"({"access_token":"SECRET\u00e9","expires_in":60})",
           R"({"access_token":")" + std::string(kMaxTokenBytes + 1, 'x') + R"(","expires_in":60})",
           R"({"access_token":"SECRET","expires_in":0})",
           R"({"access_token":"SECRET","expires_in":-5})",
           R"({"access_token":"SECRET","expires_in":"soon"})",
           R"({"access_token":"SECRET","expires_in":1e300})",
           R"({"access_token":"SECRET","expires_in":18446744073709551615})",
           R"({"access_token":"SECRET","expires_in":[60]})",
           R"({"access_token":"SECRET","expires_on":"1600000000"})",
           R"({"access_token":"SECRET","expires_in":60,"token_type":"pop"})"}) {
    const absl::Status status = ParseTokenResponse(json, kNow).status();
    EXPECT_TRUE(absl::IsInternal(status)) << json;
    EXPECT_EQ(status.message().find("SECRET"), std::string::npos) << status;
  }
}

TEST(TokenResponse, ErrorsAreOneLineWithoutSecrets) {
  EXPECT_EQ(DescribeTokenError(R"({"error":"invalid_client","error_description":
                "AADSTS7000222: The keys are expired.\r\nTrace ID: 1\r\n","error_codes":[7000222]})",
                               {}),
            "invalid_client: AADSTS7000222: The keys are expired.");
  EXPECT_EQ(DescribeTokenError(R"({"statusCode":400,"message":"No identity"})", {}), "No identity");
  EXPECT_EQ(DescribeTokenError(R"({"error":"e","error_description":"got a+b/ as a%2Bb%2F!"})",
                               {"a+b/", ""}),
            "e: got REDACTED as REDACTED!");
  EXPECT_EQ(DescribeTokenError(R"({"error":"a\u0007b\u00e9"})", {}), "a?b??");
  EXPECT_EQ(DescribeTokenError("no JSON", {}), "");
  EXPECT_EQ(DescribeTokenError("{}", {}), "");
  EXPECT_EQ(DescribeTokenError(R"({"error":{"code":"x"}})", {}), "");
  const std::string secret(200, 's');
  EXPECT_EQ(DescribeTokenError(R"({"error":")" + std::string(250, 'x') + " " + secret + R"("})",
                               {secret}),
            std::string(250, 'x') + " REDACTED");
  EXPECT_EQ(DescribeTokenError(R"({"error":")" + std::string(5000, 'x') + R"("})", {}).size(), 300);
}

TEST(TokenResponse, JudgesTheOutcome) {
  const TokenAdvice advice{"cred (at e)", "https://e", "fix it", "look", {}};
  const auto result = [&](const absl::StatusOr<HttpResponse>& response) {
    return TokenResultOf(response, advice, kNow);
  };
  for (int status : {408, 410, 429, 500, 503}) {
    const TokenResult r = result(Answer(status, {{"Retry-After", "7"}}));
    EXPECT_TRUE(absl::IsUnavailable(r.token.status())) << status;
    EXPECT_TRUE(r.again && r.answered);
    EXPECT_EQ(r.retry_after, absl::Seconds(7));
  }
  for (int status : {301, 400, 401, 403, 404}) {
    const TokenResult r = result(Answer(status, {}, R"({"error":"bad"})"));
    EXPECT_TRUE(absl::IsPermissionDenied(r.token.status())) << status;
    EXPECT_EQ(r.again, status == 404);
    EXPECT_EQ(r.token.status().message(),
              "cred (at e): https://e answers " + std::to_string(status) + ", bad; fix it");
  }
  EXPECT_EQ(result(absl::UnavailableError("no route")).token.status(),
            absl::UnavailableError("cred (at e): no route; look"));
  EXPECT_TRUE(result(absl::DeadlineExceededError("")).again);
  EXPECT_FALSE(result(absl::FailedPreconditionError("certificate")).again);
  EXPECT_TRUE(absl::IsCancelled(result(absl::CancelledError("")).token.status()));
  EXPECT_TRUE(absl::IsInternal(result(Answer(200, {}, "?")).token.status()));
  EXPECT_TRUE(result(Answer(200, {}, R"({"access_token":"t","expires_in":60})")).token.ok());
}

TEST(KeepsSecrets, IsForHttpsAndThisMachine) {
  for (const char* good : {"https://h/c", "http://127.0.0.1:1/c", "http://localhost/c",
                           "http://[::1]:1/c", "http://127.8.9.1"}) {
    EXPECT_TRUE(KeepsSecrets(good)) << good;
  }
  for (const char* bad : {"", "http://h/c", "http://127.0.0.1.h/c", "http://127.0.0.1:1@h/c",
                          "http://localhost@h", "http://localhost.h", "ftp://127.0.0.1"}) {
    EXPECT_FALSE(KeepsSecrets(bad)) << bad;
  }
}

}  // namespace
}  // namespace kvstore::azure
