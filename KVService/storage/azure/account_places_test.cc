#include "KVService/storage/azure/account_places.h"

#include <gtest/gtest.h>

#include <fstream>

#include "KVService/accounts/file_accounts.h"
#include "KVService/accounts/rule_accounts.h"
#include "KVService/platform/temp_dir.h"
#include "KVService/storage/azure/default_credential.h"
#include "KVService/storage/azure/fake_http_client.h"

namespace kvstore {
namespace {

using azure::CredentialFactory;

class AccountPlacesTest : public ::testing::Test {
 protected:
  AccountPlacesTest() {
    path_ = directory_.path() + "/accounts.json";
    // Nothing here may ask the network.
    http_.handler = [](const HttpRequest& request) {
      ADD_FAILURE() << request.url;
      return absl::InternalError("no network");
    };
  }
  Environment Variables() {
    return [this](const char* name) { return variables_[name]; };
  }
  void Write(const std::string& json) { std::ofstream(path_) << json; }
  absl::StatusOr<std::unique_ptr<FileAccounts>> Open(CredentialFactory& factory) {
    FileAccountsOptions options;
    options.path = path_;
    options.blob_suffix = kPublicBlobSuffix;
    options.environment = Variables();
    options.check = [&factory](const Account& account) { return factory.Check(account); };
    return FileAccounts::Open(options);
  }

  testing::TempDir directory_;
  std::string path_;
  testing::FakeHttpClient http_;
  std::map<std::string, std::string> variables_;
  CredentialFactory factory_{{&http_, nullptr}, Variables()};
};

TEST_F(AccountPlacesTest, OneCredentialForOneDescription) {
  Write(R"({"accounts":[
    {"name":"one","credential":{"kind":"managed_identity"}},
    {"name":"two","credential":{"kind":"managed_identity"}},
    {"name":"three","credential":{"kind":"managed_identity","client_id":"c"}},
    {"name":"four","credential":{"kind":"account_key","account_key":"a2V5"}},
    {"name":"five","credential":{"kind":"account_key","account_key":"a2V5"}}]})");
  const auto accounts = Open(factory_);
  ASSERT_TRUE(accounts.ok()) << accounts.status();
  AccountPlaces places(accounts->get(), &factory_);
  const auto credential = [&](const std::string& name) {
    const auto place = places.Resolve(name, "kvstore");
    EXPECT_TRUE(place.ok()) << place.status();
    return place.ok() ? place->credential : nullptr;
  };
  const auto one = credential("one");
  EXPECT_EQ(credential("one"), one);
  EXPECT_EQ(credential("two"), one);
  EXPECT_NE(credential("three"), one);
  const auto four = credential("four");
  EXPECT_NE(credential("five"), four);  // the account is signed, too
  // Reading the same again changes nothing; another key does.
  EXPECT_TRUE((*accounts)->Reload().ok());
  EXPECT_EQ(credential("one"), one);
  EXPECT_EQ(credential("four"), four);
  Write(R"({"accounts":[{"name":"four",
            "credential":{"kind":"account_key","account_key":"b3RoZXI="}}]})");
  EXPECT_TRUE((*accounts)->Reload().ok());
  EXPECT_NE(credential("four"), four);
}

TEST_F(AccountPlacesTest, GivesThePlaceOfAContainer) {
  Write(R"({"accounts":[
    {"name":"acct","endpoint":"http://127.0.0.1:1/acct","containers":["kvstore","more"],
     "credential":{"kind":"anonymous"}},
    {"name":"any","credential":{"kind":"connection_string",
     "connection_string":"UseDevelopmentStorage=true"}},
    {"name":"signed","credential":{"kind":"sas","sas":"sv=1&sig=x"}}]})");
  const auto accounts = Open(factory_);
  ASSERT_TRUE(accounts.ok()) << accounts.status();
  AccountPlaces places(accounts->get(), &factory_);
  const auto place = places.Resolve("acct", "kvstore");
  ASSERT_TRUE(place.ok()) << place.status();
  EXPECT_EQ(place->endpoint, "http://127.0.0.1:1/acct");
  EXPECT_EQ(place->container, "kvstore");
  EXPECT_EQ(place->prefix, "");
  EXPECT_EQ(places.Resolve("any", "c-1")->endpoint, "http://127.0.0.1:10000/devstoreaccount1");
  EXPECT_EQ(places.Resolve("signed", "c-1")->endpoint, "https://signed.blob.core.windows.net");
  EXPECT_EQ(places.Known(), (std::vector<std::pair<std::string, std::string>>{{"acct", "kvstore"},
                                                                              {"acct", "more"}}));

  EXPECT_TRUE(absl::IsNotFound(places.Resolve("other", "kvstore").status()));
  EXPECT_TRUE(absl::IsPermissionDenied(places.Resolve("acct", "third").status()));
  const absl::Status wrong = places.Resolve("any", "No_Good").status();
  EXPECT_TRUE(absl::IsInvalidArgument(wrong));
  EXPECT_NE(wrong.message().find("3 to 63 lower-case letters"), std::string::npos);
}

TEST_F(AccountPlacesTest, CredentialsThatAreNoneAreFoundWhenTheFileIsRead) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"kind":"account_key","account_key":"*HIDDEN*"})", "the account key of 'acct'"},
      {R"({"kind":"sas","sas":"HIDDEN"})", "has no 'sig'"},
      {R"({"kind":"connection_string","connection_string":"HIDDEN"})", "connection string"},
      {R"({"kind":"client_secret","client_secret":"HIDDEN","client_id":"c"})", "AZURE_TENANT_ID"},
      {R"({"kind":"client_secret","client_id":"c","tenant_id":"t"})", "AZURE_CLIENT_SECRET"},
      {R"({"kind":"workload_identity","client_id":"c","tenant_id":"t"})",
       "AZURE_FEDERATED_TOKEN_FILE"},
      {R"({"kind":"client_secret","client_secret":"HIDDEN","client_id":"c","tenant_id":"t",
           "authority_host":"http://h"})",
       "https"},
  };
  for (const auto& [credential, expected] : cases) {
    Write(std::string(R"({"accounts":[{"name":"acct","credential":)") + credential + "}]}");
    const absl::Status status = Open(factory_).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << credential;
    EXPECT_NE(status.message().find(expected), std::string::npos) << status;
    EXPECT_EQ(status.message().find("HIDDEN"), std::string::npos) << status;
  }
}

TEST_F(AccountPlacesTest, TheEnvironmentFillsWhatIsLeftOpen) {
  variables_ = {{"AZURE_CLIENT_ID", "c"},
                {"AZURE_TENANT_ID", "t"},
                {"AZURE_CLIENT_SECRET", "s"},
                {"AZURE_AUTHORITY_HOST", "https://login.example"}};
  const CredentialSpec spec{CredentialKind::kClientSecret, {}};
  const CredentialSpec full{CredentialKind::kClientSecret,
                            {{"client_id", "c"},
                             {"tenant_id", "t"},
                             {"client_secret", "s"},
                             {"authority_host", "https://login.example"}}};
  const auto made = factory_.Make("acct", spec);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(factory_.Make("other", full)->credential, made->credential);
  EXPECT_EQ(factory_.Make("acct", {})->credential, made->credential);  // the default one
}

TEST_F(AccountPlacesTest, AConnectionStringIsAnAccountAmongTheRules) {
  variables_ = {{"AZURE_STORAGE_CONNECTION_STRING", "UseDevelopmentStorage=true"}};
  const auto connected = azure::AccountOfEnvironment(Variables());
  ASSERT_TRUE(connected.ok() && connected->has_value());
  const auto accounts = RuleAccounts::Make(kPublicBlobSuffix, {**connected});
  ASSERT_TRUE(accounts.ok());
  AccountPlaces places(accounts->get(), &factory_);
  EXPECT_EQ(places.Resolve("devstoreaccount1", "kvstore")->endpoint,
            "http://127.0.0.1:10000/devstoreaccount1");
  const absl::Status other = places.Resolve("other", "kvstore").status();
  EXPECT_TRUE(absl::IsNotFound(other));
  EXPECT_NE(other.message().find("is for 'devstoreaccount1'"), std::string::npos) << other;
}

TEST_F(AccountPlacesTest, OldCredentialsDoNotPileUp) {
  const std::shared_ptr<azure::Credential> kept =
      factory_.Make("acct", {CredentialKind::kSas, {{"sas", "sig=kept"}}})->credential;
  for (int i = 0; i < 2000; ++i) {
    const CredentialSpec spec{CredentialKind::kSas, {{"sas", "sig=" + std::to_string(i)}}};
    ASSERT_TRUE(factory_.Make("acct", spec).ok());
  }
  EXPECT_EQ(factory_.Make("acct", {CredentialKind::kSas, {{"sas", "sig=kept"}}})->credential, kept);
}

TEST(AzureContainerNames, FollowAzuresRule) {
  for (const std::string& good :
       {std::string("abc"), std::string("a-1-b"), std::string("000"), std::string(63, 'x')}) {
    EXPECT_TRUE(CheckAzureContainer(good).ok()) << good;
  }
  for (const std::string& bad :
       {std::string(), std::string("ab"), std::string(64, 'x'), std::string("-abc"),
        std::string("abc-"), std::string("a--b"), std::string("Abc"), std::string("a_b"),
        std::string("a/b"), std::string("$root"), std::string("a.b"), std::string("caf\xc3\xa9")}) {
    EXPECT_TRUE(absl::IsInvalidArgument(CheckAzureContainer(bad))) << bad;
  }
}

}  // namespace
}  // namespace kvstore
