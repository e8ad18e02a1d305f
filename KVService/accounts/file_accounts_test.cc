#include "KVService/accounts/file_accounts.h"

#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "KVCommon/secret_file.h"
#include "KVService/platform/temp_dir.h"

namespace kvstore {
namespace {

class FileAccountsTest : public ::testing::Test {
 protected:
  FileAccountsTest() {
    options_.path = directory_.path() + "/accounts.json";
    options_.blob_suffix = "blob.example.net";
    options_.environment = [](const char*) { return std::string(); };
  }
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(directory_.path() + "/" + name) << text;
  }
  static std::string Of(const std::string& name) {
    return R"({"accounts":[{"name":")" + name + R"(","containers":["kvstore","more"]}]})";
  }

  testing::TempDir directory_;
  FileAccountsOptions options_;
};

TEST_F(FileAccountsTest, ResolvesWhatItListsAndNothingElse) {
  Write("accounts.json", Of("acct"));
  const auto accounts = FileAccounts::Open(options_);
  ASSERT_TRUE(accounts.ok()) << accounts.status();
  const auto account = (*accounts)->Resolve("acct", "more");
  ASSERT_TRUE(account.ok()) << account.status();
  EXPECT_EQ((*account)->endpoint, "https://acct.blob.example.net");
  EXPECT_EQ((*accounts)->Known(), std::vector{*account});

  const absl::Status unknown = (*accounts)->Resolve("other", "more").status();
  EXPECT_TRUE(absl::IsNotFound(unknown));
  EXPECT_EQ(unknown.message(),
            "account 'other' is not known, only acct; add it to " + options_.path);
  const absl::Status denied = (*accounts)->Resolve("acct", "theirs").status();
  EXPECT_TRUE(absl::IsPermissionDenied(denied));
  EXPECT_EQ(denied.message(),
            "account 'acct' has no container 'theirs' for this server, only kvstore, more; add it "
            "in " +
                options_.path);
}

TEST_F(FileAccountsTest, AnEmptyListKnowsNone) {
  Write("accounts.json", R"({"accounts":[]})");
  const auto accounts = FileAccounts::Open(options_);
  ASSERT_TRUE(accounts.ok());
  EXPECT_NE((*accounts)->Resolve("acct", "c").status().message().find("only none"),
            std::string::npos);
}

TEST_F(FileAccountsTest, ReloadTakesAllOrNothing) {
  Write("accounts.json", Of("before"));
  const auto accounts = FileAccounts::Open(options_);
  ASSERT_TRUE(accounts.ok());
  const auto kept = (*accounts)->Resolve("before", "more");
  ASSERT_TRUE(kept.ok());

  Write("accounts.json", "{\n\"accounts\": [,]}");
  const absl::Status broken = (*accounts)->Reload();
  EXPECT_TRUE(absl::IsInvalidArgument(broken));
  EXPECT_NE(broken.message().find(options_.path + ": line 2, column 14"), std::string::npos)
      << broken;
  EXPECT_EQ(*(*accounts)->Resolve("before", "more"), *kept);

  std::filesystem::remove(options_.path);
  EXPECT_TRUE(absl::IsNotFound((*accounts)->Reload()));
  EXPECT_EQ(*(*accounts)->Resolve("before", "more"), *kept);

  Write("accounts.json", Of("after"));
  EXPECT_TRUE((*accounts)->Reload().ok());
  EXPECT_TRUE((*accounts)->Resolve("after", "more").ok());
  EXPECT_TRUE(absl::IsNotFound((*accounts)->Resolve("before", "more").status()));
  EXPECT_EQ((*kept)->name, "before");
}

TEST_F(FileAccountsTest, SecretsAreReadBesideTheFileAndAgain) {
  Write("accounts.json", R"({"accounts":[{"name":"acct",
      "credential":{"kind":"account_key","account_key_file":"acct.key"}}]})");
  EXPECT_TRUE(absl::IsInvalidArgument(FileAccounts::Open(options_).status()));
  Write("acct.key", "\n one \n");
  const auto accounts = FileAccounts::Open(options_);
  ASSERT_TRUE(accounts.ok()) << accounts.status();
  EXPECT_EQ((*(*accounts)->Resolve("acct", "c"))->credential.Value("account_key"), "one");
  Write("acct.key", "two");
  EXPECT_TRUE((*accounts)->Reload().ok());
  EXPECT_EQ((*(*accounts)->Resolve("acct", "c"))->credential.Value("account_key"), "two");
}

TEST_F(FileAccountsTest, WhatTheCheckRefusesDoesNotCount) {
  Write("accounts.json", Of("acct"));
  options_.check = [](const Account&) { return absl::InvalidArgumentError("its key is no key"); };
  const absl::Status status = FileAccounts::Open(options_).status();
  EXPECT_NE(status.message().find(options_.path + ": its key is no key"), std::string::npos);
}

TEST_F(FileAccountsTest, OneReloadsWhileOthersResolve) {
  Write("accounts.json", Of("acct"));
  const auto accounts = FileAccounts::Open(options_);
  ASSERT_TRUE(accounts.ok());
  std::atomic<bool> stop = false;
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      while (!stop) EXPECT_EQ((*(*accounts)->Resolve("acct", "more"))->name, "acct");
    });
  }
  for (int i = 0; i < 100; ++i) EXPECT_TRUE((*accounts)->Reload().ok());
  stop = true;
  for (std::thread& reader : readers) reader.join();
}

TEST_F(FileAccountsTest, SecretFilesOfTheWrongKindAreRefused) {
  const auto status = [&](const std::string& name) {
    return ReadSecretFile(directory_.path() + "/" + name).status();
  };
  Write("empty", " \n");
  Write("large", std::string(kMaxSecretFileBytes + 1, 'x'));
  EXPECT_TRUE(absl::IsInvalidArgument(status("empty")));
  EXPECT_TRUE(absl::IsInvalidArgument(status("large")));
  EXPECT_TRUE(absl::IsInvalidArgument(status("")));
  EXPECT_TRUE(absl::IsNotFound(status("absent")));
  EXPECT_NE(status("absent").message().find(directory_.path() + "/absent"), std::string::npos);
}

}  // namespace
}  // namespace kvstore
