#include "KVService/accounts/rule_accounts.h"

#include <gtest/gtest.h>

namespace kvstore {
namespace {

TEST(RuleAccounts, MakesEndpointsOfNames) {
  const auto accounts = RuleAccounts::Make(kPublicBlobSuffix);
  ASSERT_TRUE(accounts.ok());
  const auto account = (*accounts)->Resolve("acct", "any");
  ASSERT_TRUE(account.ok()) << account.status();
  EXPECT_EQ((*account)->name, "acct");
  EXPECT_EQ((*account)->endpoint, "https://acct.blob.core.windows.net");
  EXPECT_EQ((*account)->credential, CredentialSpec());
  EXPECT_TRUE((*accounts)->Known().empty());
  EXPECT_TRUE((*accounts)->Reload().ok());
}

// Tokens would go to a host of the caller's choice.
TEST(RuleAccounts, NoNameBecomesAnotherHost) {
  const auto accounts = RuleAccounts::Make(kPublicBlobSuffix);
  ASSERT_TRUE(accounts.ok());
  for (const char* name : {"", "ab", "evil.example/x", "evil.example#", "Acct", "a@b", "a b",
                           "a\nb", "abcdefghijklmnopqrstuvwxyz"}) {
    EXPECT_TRUE(absl::IsInvalidArgument((*accounts)->Resolve(name, "c").status())) << name;
  }
}

TEST(RuleAccounts, GivenAccountsComeFirst) {
  Account given;
  given.name = "emulator";
  given.endpoint = "http://127.0.0.1:10000/emulator";
  given.containers = {"kvstore"};
  const auto accounts = RuleAccounts::Make(kPublicBlobSuffix, {given});
  ASSERT_TRUE(accounts.ok());
  EXPECT_EQ((*(*accounts)->Resolve("emulator", "kvstore"))->endpoint, given.endpoint);
  EXPECT_TRUE(absl::IsPermissionDenied((*accounts)->Resolve("emulator", "other").status()));
  EXPECT_EQ((*accounts)->Known().size(), 1u);
  EXPECT_TRUE((*accounts)->Resolve("acct", "other").ok());
}

TEST(RuleAccounts, RefusesWhatIsNoSuffixOrEndpoint) {
  for (const char* suffix : {"", "a/b", "a@b", ".a", "a.", "a b", "a:1"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(RuleAccounts::Make(suffix).status())) << suffix;
  }
  Account bad;
  bad.name = "acct";
  bad.endpoint = "acct.blob.core.windows.net";
  EXPECT_TRUE(absl::IsInvalidArgument(RuleAccounts::Make("s.net", {bad}).status()));
}

TEST(AccountResolver, EndpointsArePlainUrls) {
  for (const char* good : {"https://h", "http://127.0.0.1:10000/acct", "https://[::1]:1/a"}) {
    EXPECT_TRUE(CheckEndpoint(good).ok()) << good;
  }
  for (const char* bad : {"", "h", "ftp://h", "https://", "https:///a", "https://h/", "https://h?a",
                          "https://h#a", "https://u@h", "https://h\\a", "https://h a"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(CheckEndpoint(bad))) << bad;
  }
}

}  // namespace
}  // namespace kvstore
