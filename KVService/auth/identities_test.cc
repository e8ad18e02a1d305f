#include "KVService/auth/identities.h"

#include <gtest/gtest.h>

namespace kvstore {
namespace {

Rule RuleOf(std::vector<std::string> accounts, std::vector<std::string> containers,
            std::vector<std::string> partitions, bool read, bool write) {
  Rule rule;
  for (const auto& text : accounts) rule.accounts.push_back(NamePattern::Parse(text));
  for (const auto& text : containers) rule.containers.push_back(NamePattern::Parse(text));
  for (const auto& text : partitions) rule.partitions.push_back(PartitionPattern::Parse(text));
  rule.read = read;
  rule.write = write;
  return rule;
}

Digest HashOf(std::string_view token) { return Sha256(AsBytes(token)); }

TEST(NamePatterns, AreExactUnlessTheyEndInAStar) {
  EXPECT_TRUE(NamePattern::Parse("a").Matches("a"));
  EXPECT_FALSE(NamePattern::Parse("a").Matches("ab"));
  EXPECT_FALSE(NamePattern::Parse("a").Matches(""));
  EXPECT_FALSE(NamePattern::Parse("a").Matches("A"));
  EXPECT_TRUE(NamePattern::Parse("a/*").Matches("a/b"));
  EXPECT_TRUE(NamePattern::Parse("a/*").Matches("a/"));
  EXPECT_FALSE(NamePattern::Parse("a/*").Matches("a"));
  EXPECT_FALSE(NamePattern::Parse("a*b").Matches("aab"));  // a star inside is a character
  EXPECT_TRUE(NamePattern::Parse("a*b").Matches("a*b"));
  EXPECT_TRUE(NamePattern::Parse("*").Matches(""));
}

TEST(Identity, MayDoWhatARuleAllowsInAllItsPartsAndNothingElse) {
  Identity identity;
  identity.rules = {RuleOf({"acct"}, {"box", "new*"}, {"mine", "team/*"}, true, false),
                    RuleOf({"acct"}, {"box"}, {"mine"}, false, true)};
  const Container box{"acct", "box"};
  EXPECT_TRUE(identity.May(Right::kRead, box, "mine"));
  EXPECT_TRUE(identity.May(Right::kWrite, box, "mine"));
  EXPECT_TRUE(identity.May(Right::kRead, box, "team/x"));
  EXPECT_FALSE(identity.May(Right::kWrite, box, "team/x"));
  EXPECT_TRUE(identity.May(Right::kRead, {"acct", "newer"}, "mine"));
  EXPECT_FALSE(identity.May(Right::kWrite, {"acct", "newer"}, "mine"));
  EXPECT_FALSE(identity.May(Right::kRead, {"acct", "boxes"}, "mine"));
  EXPECT_FALSE(identity.May(Right::kRead, {"other", "box"}, "mine"));
  EXPECT_FALSE(identity.May(Right::kRead, box, "theirs"));
  EXPECT_FALSE(identity.May(Right::kRead, box, ""));
  EXPECT_TRUE(identity.MaySomewhere(Right::kRead, box));
  EXPECT_FALSE(identity.MaySomewhere(Right::kWrite, {"acct", "newer"}));
  EXPECT_FALSE(Identity().May(Right::kRead, box, "mine"));
  EXPECT_FALSE(Identity().MaySomewhere(Right::kRead, box));
}

TEST(Identity, ALocationsDigestIsEnoughButForBeginningsOfNames) {
  Identity identity;
  identity.rules = {RuleOf({"acct"}, {"box"}, {"mine"}, true, false),
                    RuleOf({"acct"}, {"box"}, {"theirs"}, false, true),
                    RuleOf({"acct"}, {"teams"}, {"team/*", "mine"}, true, false),
                    RuleOf({"acct"}, {"all"}, {"*"}, true, false)};
  const PartitionDigest mine = DigestPartition("mine"), theirs = DigestPartition("theirs");
  EXPECT_EQ(identity.MayRead({"acct", "box"}, mine), DigestVerdict::kYes);
  EXPECT_EQ(identity.MayRead({"acct", "box"}, theirs), DigestVerdict::kNo);  // it may write there
  EXPECT_EQ(identity.MayRead({"acct", "teams"}, theirs), DigestVerdict::kByName);
  EXPECT_EQ(identity.MayRead({"acct", "teams"}, mine), DigestVerdict::kYes);
  EXPECT_EQ(identity.MayRead({"acct", "all"}, theirs), DigestVerdict::kYes);
  EXPECT_EQ(identity.MayRead({"other", "box"}, mine), DigestVerdict::kNo);
  // A prefix has no digest of its own: that of its text is nobody's.
  EXPECT_EQ(identity.MayRead({"acct", "box"}, PartitionDigest{}), DigestVerdict::kNo);
}

TEST(Identities, FindEachTokenAndNoOther) {
  std::vector<Identity> list;
  for (int i = 0; i < 100; ++i) {
    Identity identity;
    identity.name = "id" + std::to_string(i);
    identity.tokens = {HashOf("token-" + std::to_string(i)), HashOf("next-" + std::to_string(i))};
    identity.certificate_names = {"node" + std::to_string(i) + ".example.net"};
    list.push_back(identity);
  }
  const Identities identities(std::move(list));
  for (int i = 0; i < 100; ++i) {
    for (const std::string token : {"token-", "next-"}) {
      const Identity* found = identities.ByToken(token + std::to_string(i));
      ASSERT_NE(found, nullptr);
      EXPECT_EQ(found->name, "id" + std::to_string(i));
    }
    const Identity* found =
        identities.ByCertificateName("node" + std::to_string(i) + ".example.net");
    ASSERT_NE(found, nullptr);
    EXPECT_EQ(found->name, "id" + std::to_string(i));
  }
  for (const char* wrong : {"", "token-", "token-100", "TOKEN-1", "token-1 "}) {
    EXPECT_EQ(identities.ByToken(wrong), nullptr) << wrong;
  }
  // A stored hash is no token: who reads the file cannot call by it.
  EXPECT_EQ(identities.ByToken(ToHex(HashOf("token-1"))), nullptr);
  const Digest digest = HashOf("token-1");
  EXPECT_EQ(identities.ByToken(AsText(std::as_bytes(std::span(digest)))), nullptr);
  for (const char* wrong : {"", "node1", "node1.example.ne", "zzz", "*.example.net"}) {
    EXPECT_EQ(identities.ByCertificateName(wrong), nullptr) << wrong;
  }
  EXPECT_EQ(Identities({}).ByToken("token-1"), nullptr);
  EXPECT_EQ(Identities({}).ByCertificateName("a"), nullptr);
}

}  // namespace
}  // namespace kvstore
