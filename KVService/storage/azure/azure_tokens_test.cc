// The whole way with tokens: an accounts file, a token endpoint, Azurite over HTTPS.
#include <gtest/gtest.h>

#include <fstream>

#include "KVService/accounts/file_accounts.h"
#include "KVService/http/curl_http_client.h"
#include "KVService/http/test_server.h"
#include "KVService/storage/azure/account_places.h"
#include "KVService/storage/azure/azurite.h"
#include "KVService/storage/azure/crypto.h"
#include "KVService/storage/blob_store_testing.h"
#include "absl/strings/escaping.h"

namespace kvstore::testing {
namespace {

// A token as Entra makes them, but for the signature.
std::string Jwt(const std::string& audience, absl::Duration begins, absl::Duration ends) {
  const auto at = [](absl::Duration d) {
    return std::to_string(absl::ToUnixSeconds(absl::Now() + d));
  };
  const std::string claims = R"({"aud":")" + audience +
                             R"(","iss":"https://sts.windows.net/a-tenant/","iat":)" + at(begins) +
                             R"(,"nbf":)" + at(begins) + R"(,"exp":)" + at(ends) + "}";
  return absl::WebSafeBase64Escape(R"({"alg":"RS256","typ":"JWT"})") + "." +
         absl::WebSafeBase64Escape(claims) + "." + absl::WebSafeBase64Escape("no signature");
}

class AzureTokensTest : public ::testing::Test {
 protected:
  AzureTokensTest() : http_(HttpOptions()) {
    std::ofstream(directory_.path() + "/token") << "federated";
  }
  static HttpClientOptions HttpOptions() {
    HttpClientOptions options;
    options.ca_file = Azurite::WithTokens().ca_file();
    return options;
  }
  static std::string Valid() {
    return Jwt("https://storage.azure.com/", -absl::Minutes(5), absl::Hours(1));
  }

  // Puts and gets with that credential.
  absl::Status RoundTrip(const std::string& credential) {
    std::ofstream(directory_.path() + "/accounts.json")
        << R"({"accounts":[{"name":"acct","endpoint":")" << Azurite::WithTokens().endpoint()
        << R"(","credential":)" << credential << "}]}";
    azure::CredentialFactoryOptions factory_options;
    factory_options.imds_endpoint = endpoint_.Url().substr(0, endpoint_.Url().size() - 1);
    azure::CredentialFactory factory(
        {&http_, &files_}, [](const char*) { return std::string(); }, factory_options);
    FileAccountsOptions options;
    options.path = directory_.path() + "/accounts.json";
    options.environment = [](const char*) { return std::string(); };
    options.check = [&factory](const Account& account) { return factory.Check(account); };
    auto accounts = FileAccounts::Open(options);
    if (!accounts.ok()) return accounts.status();
    AccountPlaces places(accounts->get(), &factory);
    AzureBlobStore store(&http_, &places, {});
    const BlobId id{"acct", "c" + azure::RandomHex(8), "a/b"};
    const Blob blob = MakeBlob(5000, 1, "attributes");
    absl::Status put = PutNow(store, id, blob);
    if (!put.ok()) return put;
    EXPECT_TRUE(Holds(store, id, blob));
    return DeleteNow(store, id);
  }

  std::string token_ = Valid();
  TempDir directory_;
  TestServer endpoint_{[this](const TestRequest&, TestConnection& connection) {
    connection.Reply(200, R"({"expires_in":3600,"access_token":")" + token_ + "\"}");
  }};
  ThreadPool files_{"kv-token", 1, 16};
  CurlHttpClient http_;
};

TEST_F(AzureTokensTest, EveryKindOfTokenCredentialIsEnough) {
  const std::string login =
      R"("client_id":"c","tenant_id":"t","authority_host":")" + endpoint_.Url() + "\"";
  for (const std::string& credential :
       {std::string(R"({"kind":"managed_identity"})"),
        R"({"kind":"client_secret","client_secret":"s",)" + login + "}",
        R"({"kind":"workload_identity","federated_token_file":")" + directory_.path() +
            "/token\"," + login + "}"}) {
    const absl::Status status = RoundTrip(credential);
    EXPECT_TRUE(status.ok()) << credential << status;
  }
  EXPECT_EQ(endpoint_.requests(), 3);
}

TEST_F(AzureTokensTest, ATokenThatTheServiceRefusesIsAnErrorWithoutIt) {
  for (const std::string& token :
       {Jwt("https://other.example/", -absl::Minutes(5), absl::Hours(1)),
        Jwt("https://storage.azure.com/", -absl::Hours(2), -absl::Hours(1)), std::string("none")}) {
    token_ = token;
    const absl::Status status = RoundTrip(R"({"kind":"managed_identity"})");
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << status;
    EXPECT_NE(status.message().find("403"), std::string::npos) << status;
    EXPECT_EQ(status.message().find(token), std::string::npos) << status;
  }
}

}  // namespace
}  // namespace kvstore::testing
