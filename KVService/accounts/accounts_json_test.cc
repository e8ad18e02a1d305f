#include "KVService/accounts/accounts_json.h"

#include <gtest/gtest.h>

#include "KVService/accounts/json_check.h"

namespace kvstore {
namespace {

AccountsContext Context() {
  AccountsContext context;
  context.blob_suffix = "blob.example.net";
  context.environment = [](const char* name) {
    return std::string(name) == "KEY_OF_ACCT" ? "from the environment" : "";
  };
  context.read_secret = [](const std::string& path) -> absl::StatusOr<std::string> {
    if (path == "acct.key") return "from a file";
    return absl::NotFoundError(path + " cannot be read");
  };
  return context;
}

Account One(const std::string& json) {
  const auto accounts = ParseAccounts(json, Context());
  EXPECT_TRUE(accounts.ok()) << accounts.status();
  if (!accounts.ok() || accounts->size() != 1) return {};
  return accounts->front();
}

CredentialSpec Credential(const std::string& json) {
  return One(R"({"accounts":[{"name":"acct","credential":)" + json + "}]}").credential;
}

TEST(AccountsJson, TakesAllThatAnAccountMaySay) {
  const Account account = One(R"({"accounts":[{"name":"devstoreaccount1",
      "endpoint":"http://127.0.0.1:10000/devstoreaccount1/",
      "credential":{"kind":"account_key","account_key":"a2V5"},
      "containers":["kvstore","other"],"quota_bytes":5000000000}]})");
  EXPECT_EQ(account.name, "devstoreaccount1");
  EXPECT_EQ(account.endpoint, "http://127.0.0.1:10000/devstoreaccount1");
  EXPECT_EQ(account.credential.kind, CredentialKind::kAccountKey);
  EXPECT_EQ(account.credential.Value("account_key"), "a2V5");
  EXPECT_EQ(account.containers, (std::vector<std::string>{"kvstore", "other"}));
  EXPECT_EQ(account.quota_bytes, 5000000000u);
}

TEST(AccountsJson, ANameIsEnough) {
  const Account account = One(R"({"accounts":[{"name":"acct"}]})");
  EXPECT_EQ(account.endpoint, "https://acct.blob.example.net");
  EXPECT_EQ(account.credential, CredentialSpec());
  EXPECT_TRUE(account.containers.empty());
  EXPECT_EQ(account.quota_bytes, 0u);
}

TEST(AccountsJson, KnowsEveryKindOfCredential) {
  EXPECT_EQ(Credential(R"({"kind":"default"})").kind, CredentialKind::kDefault);
  EXPECT_EQ(Credential(R"({"kind":"anonymous"})").kind, CredentialKind::kAnonymous);
  EXPECT_EQ(Credential(R"({"kind":"sas","sas":"sig=x"})").Value("sas"), "sig=x");
  EXPECT_EQ(Credential(R"({"kind":"managed_identity"})").values.size(), 0u);
  EXPECT_EQ(Credential(R"({"kind":"managed_identity","client_id":"c"})").Value("client_id"), "c");
  EXPECT_EQ(Credential(R"({"kind":"client_secret","client_id":"c","tenant_id":"t",
                           "client_secret":"s","authority_host":"https://h"})")
                .values.size(),
            4u);
  EXPECT_EQ(Credential(R"({"kind":"workload_identity","federated_token_file":"/var/t"})")
                .Value("federated_token_file"),
            "/var/t");
  // A connection string knows its endpoint itself.
  EXPECT_EQ(One(R"({"accounts":[{"name":"a","credential":{"kind":"connection_string",
                    "connection_string":"UseDevelopmentStorage=true"}}]})")
                .endpoint,
            "");
}

TEST(AccountsJson, ValuesMayBeElsewhere) {
  EXPECT_EQ(Credential(R"({"kind":"account_key","account_key_file":"acct.key"})"),
            Credential(R"({"kind":"account_key","account_key":"from a file"})"));
  EXPECT_EQ(Credential(R"({"kind":"account_key","account_key_env":"KEY_OF_ACCT"})"),
            Credential(R"({"kind":"account_key","account_key":"from the environment"})"));
}

TEST(AccountsJson, SaysWhereItIsWrongWithoutSecrets) {
  const std::string open = R"({"accounts":[{"name":"one"},{"name":"two",)";
  const std::string key = R"("credential":{"kind":"account_key",)";
  const std::pair<std::string, const char*> cases[] = {
      {"", "line 1, column 1"},
      {"{\n\"accounts\": [\n  {\"name\" \"SECRET\"}]}", "line 3, column 18"},
      {"{\n\"accounts\": [\n  {\"name\": \"SECRET}]}", "line 3"},
      {"[]", "the file: must be an object"},
      {"{}", "accounts: must be a list"},
      {R"({"accounts":{}})", "accounts: must be a list"},
      {R"({"accounts":[],"extra":"SECRET"})", "the file.extra: unknown key"},
      {R"({"accounts":[],"accounts":[]})", "\"accounts\" is given twice"},
      {R"({"accounts":[7]})", "accounts[0]: must be an object"},
      {R"({"accounts":[{}]})", "accounts[0].name: is missing"},
      {R"({"accounts":[{"name":""}]})", "accounts[0].name"},
      {R"({"accounts":[{"name":"a"}]})", "accounts[0].endpoint: is needed"},
      {R"({"accounts":[{"name":"abc"},{"name":"abc"}]})", "accounts[1].name: 'abc' is given twice"},
      {open + R"("endpoint":"ftp://SECRET"}]})", "accounts[1].endpoint"},
      {open + R"("endpoint":"https://user:SECRET@h"}]})", "accounts[1].endpoint"},
      {open + R"("endpoint":"https://h?sig=SECRET"}]})", "accounts[1].endpoint"},
      {open + R"("quota_bytes":-1}]})", "accounts[1].quota_bytes"},
      {open + R"("quota_bytes":"5"}]})", "accounts[1].quota_bytes"},
      {open + R"("quota_bytes":1.5}]})", "accounts[1].quota_bytes"},
      {open + R"("containers":[]}]})", "accounts[1].containers: is empty"},
      {open + R"("containers":"kv"}]})", "accounts[1].containers"},
      {open + R"("containers":["kv",3]}]})", "accounts[1].containers[1]"},
      {open + R"("credential":"SECRET"}]})", "accounts[1].credential: must be an object"},
      {open + R"("credential":{}}]})", "accounts[1].credential.kind"},
      {open + R"("credential":{"kind":"SECRET"}}]})",
       "accounts[1].credential.kind: must be one of"},
      {open + key + R"("sas":"SECRET"}}]})", "accounts[1].credential.sas: unknown key"},
      {open + key + R"("account_key":{"x":"SECRET"}}}]})", "accounts[1].credential.account_key"},
      {open + R"("credential":{"kind":"account_key"}}]})", "needs account_key, account_key_file"},
      {open + key + R"("account_key":"SECRET","account_key_env":"KEY_OF_ACCT"}}]})",
       "give one of account_key"},
      {open + key + R"("account_key_file":"absent"}}]})",
       "accounts[1].credential.account_key_file: absent cannot be read"},
      {open + key + R"("account_key_env":"ABSENT"}}]})",
       "account_key_env: the environment variable ABSENT is not set"},
      {std::string(100, '['), "nested more than 16"},
  };
  for (const auto& [json, expected] : cases) {
    const absl::Status status = ParseAccounts(json, Context()).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << json;
    EXPECT_NE(status.message().find(expected), std::string::npos) << json << "\n" << status;
    EXPECT_EQ(status.message().find("SECRET"), std::string::npos) << status;
  }
}

TEST(JsonCheck, KeysRepeatInDifferentObjectsOnly) {
  EXPECT_TRUE(CheckJson(R"({"a":{"a":1},"b":[{"a":1},{"a":null,"c":-1.5e3}]})").ok());
  EXPECT_FALSE(CheckJson(R"({"a":{"b":1,"b":2}})").ok());
  EXPECT_FALSE(CheckJson("{} x").ok());
  EXPECT_FALSE(CheckJson("\"\xff\"").ok());
}

}  // namespace
}  // namespace kvstore
