#include "KVService/storage/azure/default_credential.h"

#include <gtest/gtest.h>

#include <map>

namespace kvstore::azure {
namespace {

using Kind = CredentialKind;
using Variables = std::map<std::string, std::string>;

constexpr char kConnection[] = "AccountName=connected;AccountKey=a2V5;EndpointSuffix=example.net";

Environment Of(Variables variables) {
  return [variables = std::move(variables)](const char* name) {
    const auto it = variables.find(name);
    return it == variables.end() ? std::string() : it->second;
  };
}

Kind Chosen(const std::string& account, const Variables& variables, bool managed = false) {
  const auto spec = DefaultCredential(account, Of(variables), managed);
  EXPECT_TRUE(spec.ok()) << spec.status();
  return spec.ok() ? spec->kind : Kind::kDefault;
}

const Variables kApplication = {{"AZURE_CLIENT_ID", "c"}, {"AZURE_TENANT_ID", "t"}};

Variables With(Variables variables, const Variables& more) {
  variables.insert(more.begin(), more.end());
  return variables;
}

TEST(DefaultCredential, TakesTheFirstThatIsConfigured) {
  Variables all = With(kApplication, {{"AZURE_STORAGE_ACCOUNT", "connected"},
                                      {"AZURE_STORAGE_KEY", "a2V5"},
                                      {"AZURE_STORAGE_SAS_TOKEN", "sig=x"},
                                      {"AZURE_STORAGE_CONNECTION_STRING", kConnection},
                                      {"IDENTITY_ENDPOINT", "http://127.0.0.1/msi"},
                                      {"IDENTITY_HEADER", "h"},
                                      {"AZURE_FEDERATED_TOKEN_FILE", "/f"},
                                      {"AZURE_CLIENT_SECRET", "s"}});
  EXPECT_EQ(Chosen("connected", all), Kind::kAccountKey);
  all.erase("AZURE_STORAGE_KEY");
  EXPECT_EQ(Chosen("connected", all), Kind::kSas);
  all.erase("AZURE_STORAGE_SAS_TOKEN");
  EXPECT_EQ(Chosen("connected", all), Kind::kConnectionString);
  EXPECT_EQ(Chosen("other", all), Kind::kManagedIdentity);
  all.erase("AZURE_STORAGE_CONNECTION_STRING");
  EXPECT_EQ(Chosen("connected", all), Kind::kManagedIdentity);
  all.erase("IDENTITY_ENDPOINT");
  all.erase("IDENTITY_HEADER");
  EXPECT_EQ(Chosen("connected", all), Kind::kWorkloadIdentity);
  EXPECT_EQ(Chosen("connected", all, /*managed=*/true), Kind::kManagedIdentity);
  all.erase("AZURE_FEDERATED_TOKEN_FILE");
  EXPECT_EQ(Chosen("connected", all), Kind::kClientSecret);
  all.erase("AZURE_CLIENT_SECRET");
  EXPECT_EQ(Chosen("connected", all), Kind::kManagedIdentity);
  EXPECT_EQ(Chosen("connected", {}), Kind::kManagedIdentity);
}

TEST(DefaultCredential, CarriesTheValues) {
  const auto spec =
      DefaultCredential("acct", Of(With(kApplication, {{"AZURE_FEDERATED_TOKEN_FILE", "/f"},
                                                       {"AZURE_CLIENT_SECRET", "not for this"},
                                                       {"AZURE_AUTHORITY_HOST", "https://h/"}})));
  ASSERT_TRUE(spec.ok());
  EXPECT_EQ(spec->values, (std::map<std::string, std::string>{{"client_id", "c"},
                                                              {"tenant_id", "t"},
                                                              {"authority_host", "https://h/"},
                                                              {"federated_token_file", "/f"}}));
  EXPECT_EQ(DefaultCredential("acct", Of({{"AZURE_CLIENT_ID", "c"}}))->Value("client_id"), "c");
  EXPECT_TRUE(DefaultCredential("acct", Of({}))->values.empty());
}

TEST(DefaultCredential, TheEmulatorIsAnAccount) {
  const Variables variables = {{"AZURE_STORAGE_CONNECTION_STRING", "UseDevelopmentStorage=true"}};
  EXPECT_EQ(Chosen("devstoreaccount1", variables), Kind::kConnectionString);
  const auto account = AccountOfEnvironment(Of(variables));
  ASSERT_TRUE(account.ok() && account->has_value());
  EXPECT_EQ((*account)->name, "devstoreaccount1");
  EXPECT_EQ((*account)->endpoint, "http://127.0.0.1:10000/devstoreaccount1");
  EXPECT_FALSE(AccountOfEnvironment(Of({}))->has_value());
  // Without an AccountName the endpoint tells it.
  const auto signed_one = AccountOfEnvironment(
      Of({{"AZURE_STORAGE_CONNECTION_STRING",
           "BlobEndpoint=https://Acct.blob.core.windows.net/;SharedAccessSignature=sig=x"}}));
  ASSERT_TRUE(signed_one.ok() && signed_one->has_value());
  EXPECT_EQ((*signed_one)->name, "acct");
}

TEST(DefaultCredential, AnotherAccountsKeyIsNone) {
  const absl::Status status =
      DefaultCredential("acct", Of({{"AZURE_STORAGE_ACCOUNT", "theirs"},
                                    {"AZURE_STORAGE_KEY", "HIDDEN"},
                                    {"AZURE_STORAGE_CONNECTION_STRING", kConnection}}))
          .status();
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_EQ(status.message(),
            "there is no credential for account 'acct': AZURE_STORAGE_KEY is for 'theirs', "
            "AZURE_STORAGE_CONNECTION_STRING is for 'connected'; set one for it, or list it in an "
            "accounts file");
}

TEST(DefaultCredential, HalfAConfigurationIsAnError) {
  for (const auto& [variables, missing] : std::vector<std::pair<Variables, const char*>>{
           {{{"AZURE_STORAGE_KEY", "HIDDEN"}}, "AZURE_STORAGE_ACCOUNT"},
           {{{"AZURE_STORAGE_SAS_TOKEN", "HIDDEN"}}, "AZURE_STORAGE_ACCOUNT"},
           {{{"AZURE_STORAGE_CONNECTION_STRING", "HIDDEN"}}, "AZURE_STORAGE_CONNECTION_STRING"},
           {{{"IDENTITY_ENDPOINT", "http://h"}}, "IDENTITY_HEADER"},
           {{{"IDENTITY_HEADER", "HIDDEN"}}, "IDENTITY_ENDPOINT"},
           {{{"AZURE_CLIENT_SECRET", "HIDDEN"}, {"AZURE_CLIENT_ID", "c"}}, "AZURE_TENANT_ID"},
           {{{"AZURE_FEDERATED_TOKEN_FILE", "/f"}, {"AZURE_TENANT_ID", "t"}}, "AZURE_CLIENT_ID"},
       }) {
    const absl::Status status = DefaultCredential("acct", Of(variables)).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << missing;
    EXPECT_NE(status.message().find(missing), std::string::npos) << status;
    EXPECT_EQ(status.message().find("HIDDEN"), std::string::npos) << status;
  }
}

}  // namespace
}  // namespace kvstore::azure
