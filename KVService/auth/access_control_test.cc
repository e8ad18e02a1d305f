#include "KVService/auth/access_control.h"

#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "KVCommon/limits.h"
#include "KVService/auth/auth_json.h"
#include "KVService/platform/temp_dir.h"

namespace kvstore {
namespace {

constexpr std::string_view kNode = "node1";

class AccessControlTest : public ::testing::Test {
 protected:
  void Write(const std::string& text) { std::ofstream(path_) << text; }
  void WriteTokens(const std::string& name, std::initializer_list<std::string_view> tokens) {
    std::string hashes;
    for (const std::string_view token : tokens) {
      hashes += (hashes.empty() ? "\"" : ",\"") + ToHex(Sha256(AsBytes(token))) + "\"";
    }
    Write(R"({"identities":[{"name":")" + name + R"(","token_sha256":[)" + hashes +
          R"(],"certificate_names":["node1"],"rules":[{"accounts":["acct"],"containers":["box"],
             "partitions":["p","t/*"],"allow":["read"]}]}]})");
  }
  absl::StatusOr<Caller> By(std::optional<std::string_view> authorization,
                            std::span<const std::string_view> names = {}) {
    return access_->Authenticate(authorization, names);
  }
  void Open() {
    auto access = AccessControl::Open(path_);
    ASSERT_TRUE(access.ok()) << access.status();
    access_ = *std::move(access);
  }

  testing::TempDir directory_;
  const std::string path_ = directory_.path() + "/auth.json";
  std::unique_ptr<AccessControl> access_;
};

TEST_F(AccessControlTest, KnowsACallerByTokenOrCertificate) {
  WriteTokens("a", {"secret-1", "secret-2"});
  Open();
  for (const char* header : {"Bearer secret-1", "bearer secret-2", "BEARER secret-1"}) {
    const auto caller = By(header);
    ASSERT_TRUE(caller.ok()) << header;
    EXPECT_EQ(caller->name(), "a");
  }
  const std::string_view names[] = {"unknown", kNode};
  ASSERT_TRUE(By(std::nullopt, names).ok());
  EXPECT_EQ(By(std::nullopt, names)->name(), "a");
}

TEST_F(AccessControlTest, RefusesEverybodyElseAndRepeatsNoToken) {
  WriteTokens("a", {"secret-1"});
  Open();
  const std::string long_header = "Bearer " + std::string(kMaxTokenBytes + 1, 'x');
  for (const std::string_view header :
       {std::string_view(""), std::string_view("Bearer"), std::string_view("Bearer "),
        std::string_view("secret-1"), std::string_view("Basic secret-1"),
        std::string_view("Bearer wrong-token"), std::string_view("Bearer secret-1 "),
        std::string_view("Bearersecret-1"), std::string_view(long_header)}) {
    // A wrong token counts, whatever the certificate.
    const absl::Status status = By(header, std::span(&kNode, 1)).status();
    EXPECT_TRUE(absl::IsUnauthenticated(status)) << header;
    EXPECT_EQ(status.message().find("wrong-token"), std::string::npos);
    EXPECT_EQ(status.message().find("secret"), std::string::npos);
  }
  EXPECT_TRUE(absl::IsUnauthenticated(By(std::nullopt).status()));
  const std::string_view other = "node2";
  EXPECT_TRUE(absl::IsUnauthenticated(By(std::nullopt, std::span(&other, 1)).status()));
}

TEST_F(AccessControlTest, RefusalsTellNothingOfWhatExists) {
  WriteTokens("a", {"secret-1"});
  Open();
  const auto caller = By("Bearer secret-1");
  ASSERT_TRUE(caller.ok());
  EXPECT_TRUE(caller->Check(Right::kRead, {"acct", "box"}, "p").ok());
  const absl::Status denied = caller->Check(Right::kRead, {"acct", "box"}, "q");
  EXPECT_TRUE(absl::IsPermissionDenied(denied));
  EXPECT_EQ(caller->Check(Right::kRead, {"acct", "nowhere"}, "p"), denied);
  EXPECT_EQ(caller->Check(Right::kRead, {"nobody", "box"}, "p"), denied);
  EXPECT_EQ(caller->CheckRead({"acct", "nowhere"}, DigestPartition("p")).status(), denied);
  EXPECT_TRUE(absl::IsPermissionDenied(caller->Check(Right::kWrite, {"acct", "box"}, "p")));
  EXPECT_EQ(*caller->CheckRead({"acct", "box"}, DigestPartition("p")), DigestVerdict::kYes);
  EXPECT_EQ(*caller->CheckRead({"acct", "box"}, std::nullopt), DigestVerdict::kNo);
  EXPECT_EQ(*caller->CheckRead({"acct", "box"}, DigestPartition("q")), DigestVerdict::kByName);
  EXPECT_TRUE(caller->MayRead({"acct", "box"}, "t/1"));
  EXPECT_FALSE(caller->MayRead({"acct", "box"}, "q"));
}

TEST_F(AccessControlTest, AReloadCountsAtOnceOrNotAtAll) {
  WriteTokens("a", {"old"});
  Open();
  const auto before = By("Bearer old");
  WriteTokens("b", {"old", "new"});
  ASSERT_TRUE(access_->Reload().ok());
  EXPECT_EQ(By("Bearer new")->name(), "b");
  EXPECT_EQ(before->name(), "a");  // a call that runs keeps what it has
  WriteTokens("b", {"new"});
  ASSERT_TRUE(access_->Reload().ok());
  EXPECT_TRUE(absl::IsUnauthenticated(By("Bearer old").status()));

  Write("{");
  const absl::Status bad = access_->Reload();
  EXPECT_TRUE(absl::IsInvalidArgument(bad));
  EXPECT_EQ(bad.message(), "auth file " + path_ + ": line 1, column 2: this is no JSON");
  EXPECT_TRUE(By("Bearer new").ok());
  std::filesystem::remove(path_);
  EXPECT_TRUE(absl::IsNotFound(access_->Reload()));
  EXPECT_TRUE(By("Bearer new").ok());
  Write(std::string(kMaxAuthFileBytes + 1, ' '));
  EXPECT_NE(access_->Reload().message().find("more than the 4194304 bytes"), std::string::npos);
  EXPECT_TRUE(By("Bearer new").ok());
  Write(R"({"identities":[]})");
  ASSERT_TRUE(access_->Reload().ok());
  EXPECT_TRUE(absl::IsUnauthenticated(By("Bearer new").status()));
}

TEST_F(AccessControlTest, ABadFileIsNoStart) {
  EXPECT_TRUE(absl::IsNotFound(AccessControl::Open(path_).status()));
  Write("no JSON");
  EXPECT_TRUE(absl::IsInvalidArgument(AccessControl::Open(path_).status()));
}

TEST_F(AccessControlTest, CallsGoOnWhileItIsReadAgain) {
  WriteTokens("a", {"always", "1"});
  Open();
  std::atomic<bool> stop = false;
  std::atomic<int> failed = 0;
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back([&] {
      while (!stop) {
        const auto caller = By("Bearer always");
        if (!caller.ok() || !caller->Check(Right::kRead, {"acct", "box"}, "p").ok()) ++failed;
      }
    });
  }
  for (int i = 0; i < 200; ++i) {
    WriteTokens(i % 2 == 0 ? "a" : "b", {"always", std::to_string(i)});
    ASSERT_TRUE(access_->Reload().ok());
  }
  stop = true;
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(failed, 0);
}

}  // namespace
}  // namespace kvstore
