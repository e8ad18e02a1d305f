#include "KVClient/src/security.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <vector>

#include "KVCommon/limits.h"

namespace kvstore::client {
namespace {

class SecurityTest : public ::testing::Test {
 protected:
  SecurityTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "kvstore-XXXXXX").string();
    EXPECT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  ~SecurityTest() override {
    std::filesystem::remove_all(directory_);
    for (const char* name : {"KVSTORE_TLS_CA", "KVSTORE_TLS_CERT", "KVSTORE_TOKEN_FILE"}) {
      ::unsetenv(name);
    }
  }
  std::string Write(const std::string& name, const std::string& text) {
    std::ofstream(directory_ + "/" + name) << text;
    return directory_ + "/" + name;
  }

  std::string directory_;
};

TEST_F(SecurityTest, IsPlainTextWhereNobodySpeaksOfTls) {
  const auto security = OpenChannelSecurity({});
  ASSERT_TRUE(security.ok());
  EXPECT_FALSE(security->tls);
  EXPECT_EQ(security->Fingerprint(), "");
}

TEST_F(SecurityTest, IsNeverPlainTextWhereSomebodyMeantTls) {
  EXPECT_TRUE(absl::IsInvalidArgument(OpenChannelSecurity({.server_name = "kv"}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      OpenChannelSecurity({.certificate_file = "a", .key_file = "b"}).status()));
  EXPECT_TRUE(absl::IsNotFound(OpenChannelSecurity({.ca_file = directory_ + "/none"}).status()));
  ::setenv("KVSTORE_TLS_CERT", "a", 1);
  EXPECT_TRUE(absl::IsInvalidArgument(OpenChannelSecurity({}).status()));
  ::unsetenv("KVSTORE_TLS_CERT");
  ::setenv("KVSTORE_TLS_CA", (directory_ + "/none").c_str(), 1);
  EXPECT_TRUE(absl::IsNotFound(OpenChannelSecurity({}).status()));
}

TEST_F(SecurityTest, ConnectionsAreSharedOnlyByThoseThatTrustAlike) {
  const ChannelSecurity one{.tls = true, .pems = {"c", "k", "a"}, .server_name = "n"};
  EXPECT_EQ(one.Fingerprint(), ChannelSecurity(one).Fingerprint());
  std::vector<ChannelSecurity> others(5, one);
  others[0].pems.certificate = "C";
  others[1].pems.key = "K";
  others[2].pems.authorities = "A";
  others[3].server_name = "N";
  others[4].tls = false;
  for (const ChannelSecurity& other : others) EXPECT_NE(one.Fingerprint(), other.Fingerprint());
}

TEST_F(SecurityTest, TakesATokenFromOptionsOrEnvironment) {
  ASSERT_TRUE(TokenSource::Open({}).ok());
  EXPECT_EQ(*TokenSource::Open({}), nullptr);
  EXPECT_NE(*TokenSource::Open({.token = "t"}), nullptr);
  const std::string file = Write("token", " t-1\n");
  EXPECT_NE(*TokenSource::Open({.token_file = file}), nullptr);
  EXPECT_TRUE(
      absl::IsInvalidArgument(TokenSource::Open({.token = "t", .token_file = file}).status()));
  ::setenv("KVSTORE_TOKEN_FILE", file.c_str(), 1);
  EXPECT_NE(*TokenSource::Open({}), nullptr);
  ::setenv("KVSTORE_TOKEN_FILE", "/none", 1);
  EXPECT_TRUE(absl::IsNotFound(TokenSource::Open({}).status()));
}

TEST_F(SecurityTest, RefusesATokenThatCannotTravelAndDoesNotRepeatIt) {
  for (const std::string bad : {"two words", "new\nline", "\xc3\xa4", "x\x7f"}) {
    const absl::Status status = TokenSource::Open({.token = bad}).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status));
    EXPECT_EQ(status.message().find(bad), std::string::npos);
  }
  EXPECT_FALSE(TokenSource::Open({.token = std::string(kMaxTokenBytes + 1, 'x')}).ok());
  EXPECT_FALSE(TokenSource::Open({.token_file = Write("empty", "\n")}).ok());
}

TEST_F(SecurityTest, KnowsWhatStaysOnThisMachine) {
  const auto local = [](std::vector<std::string> servers) { return AllLocal(servers); };
  EXPECT_TRUE(local({"localhost:1", "127.0.0.1:2", "[::1]:3", "unix:/x"}));
  EXPECT_FALSE(local({"localhost:1", "kv1:2"}));
  EXPECT_FALSE(local({"localhost.example.net:1"}));
  EXPECT_FALSE(local({"10.0.0.1:1"}));
}

}  // namespace
}  // namespace kvstore::client
