#include "KVService/accounts/account_name.h"

#include <gtest/gtest.h>

namespace kvstore {
namespace {

TEST(AccountName, OfEveryForm) {
  const std::pair<const char*, const char*> cases[] = {
      {"acct", "acct"},
      {"My.Own/name", "My.Own/name"},
      {"https://acct.blob.core.windows.net", "acct"},
      {"https://Acct.blob.core.windows.net/", "acct"},
      {"https://acct.blob.core.windows.net:443/container?x=y", "acct"},
      {"http://127.0.0.1:10000/devstoreaccount1", "devstoreaccount1"},
      {"http://127.0.0.1:10000/devstoreaccount1/box", "devstoreaccount1"},
      {"http://localhost:10000//devstoreaccount1/", "devstoreaccount1"},
      {"http://azurite/devstoreaccount1?sv=1", "devstoreaccount1"},
      {"http://[::1]:10000/devstoreaccount1", "devstoreaccount1"},
  };
  for (const auto& [resource, account] : cases) {
    const absl::StatusOr<std::string> result = AccountNameOf(resource);
    ASSERT_TRUE(result.ok()) << resource << ": " << result.status();
    EXPECT_EQ(*result, account) << resource;
  }
}

TEST(AccountName, RefusesWhatNamesNone) {
  for (std::string bad : {"", "https://", "http://127.0.0.1:10000", "http://127.0.0.1:10000/",
                          "http://localhost/?x", "https://.blob.core.windows.net"}) {
    EXPECT_EQ(AccountNameOf(bad).status().code(), absl::StatusCode::kInvalidArgument) << bad;
  }
  EXPECT_FALSE(AccountNameOf(std::string(2000, 'a')).ok());
}

}  // namespace
}  // namespace kvstore
