#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "KVService/block/block_id.h"
#include "KVService/block/location.h"
#include "KVService/block/location_memo.h"

namespace kvstore {
namespace {

NamedBlock ABlock() {
  NamedBlock block;
  block.partition = DigestPartition("llama-70b");
  block.version = {Sha256(AsBytes("tokens")), 0x01020304, 0xfedcba9876543210};
  return block;
}

TEST(BlobName, RoundTrips) {
  const NamedBlock block = ABlock();
  const std::string name = BlobNameOf(block.partition, block.version);
  EXPECT_THAT(name, testing::EndsWith("01020304-fedcba9876543210"));
  const std::optional<NamedBlock> back = ParseBlobName(name);
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->partition, block.partition);
  EXPECT_EQ(back->version, block.version);
}

TEST(BlobName, RefusesWhatIsNoBlocks) {
  const std::string name = BlobNameOf(ABlock().partition, ABlock().version);
  EXPECT_FALSE(ParseBlobName(""));
  EXPECT_FALSE(ParseBlobName("location-key"));
  EXPECT_FALSE(ParseBlobName(name + "0"));
  for (size_t i = 0; i < name.size(); ++i) {
    std::string bad = name;
    bad[i] = 'G';
    EXPECT_FALSE(ParseBlobName(bad)) << i;
  }
}

TEST(Space, TellsEveryPartApart) {
  const PartitionDigest p = DigestPartition("p");
  const Space space = SpaceOf({"acct", "box"}, p);
  EXPECT_EQ(space, SpaceOf({"acct", "box"}, p));
  EXPECT_NE(space, SpaceOf({"acc", "tbox"}, p));
  EXPECT_NE(space, SpaceOf({"acctb", "ox"}, p));
  EXPECT_NE(space, SpaceOf({"acct", "box"}, DigestPartition("q")));
}

class LocationTest : public testing::Test {
 protected:
  const Container container_{"acct", "box"};
  const LocationCodec codec_{LocationCodec::Key{1, 2, 3}};
};

TEST_F(LocationTest, RoundTrips) {
  const std::string location(AsText(codec_.Encode(container_, ABlock())));
  EXPECT_EQ(location.size(), 96u);
  const std::optional<NamedBlock> back = codec_.Decode(container_, location);
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->partition, ABlock().partition);
  EXPECT_EQ(back->version, ABlock().version);
}

TEST_F(LocationTest, NoChangedCharacterPasses) {
  const std::string location(AsText(codec_.Encode(container_, ABlock())));
  for (size_t i = 0; i < location.size(); ++i) {
    for (char c : {'A', 'B', '_', '=', ' ', '\0'}) {
      if (location[i] == c) continue;
      std::string forged = location;
      forged[i] = c;
      EXPECT_FALSE(codec_.Decode(container_, forged)) << i << c;
    }
  }
}

TEST_F(LocationTest, BelongsToItsContainerAndItsKey) {
  const std::string location(AsText(codec_.Encode(container_, ABlock())));
  EXPECT_FALSE(codec_.Decode({"acct", "other"}, location));
  EXPECT_FALSE(codec_.Decode({"other", "box"}, location));
  EXPECT_FALSE(codec_.Decode({"ac", "ctbox"}, location));
  EXPECT_FALSE(LocationCodec(LocationCodec::Key{1, 2, 4}).Decode(container_, location));
}

TEST_F(LocationTest, CannotBeTurnedIntoAnotherPartitions) {
  NamedBlock other = ABlock();
  other.partition = DigestPartition("mistral-7b");
  const std::string mine(AsText(codec_.Encode(container_, ABlock())));
  const std::string theirs(AsText(codec_.Encode(container_, other)));
  // Their partition digest on my block and MAC; every cut point.
  for (size_t cut = 1; cut < mine.size(); ++cut) {
    const std::string spliced = theirs.substr(0, cut) + mine.substr(cut);
    if (spliced == mine || spliced == theirs) continue;
    EXPECT_FALSE(codec_.Decode(container_, spliced)) << cut;
  }
}

TEST_F(LocationTest, ClaimsAPartitionBeforeAnythingIsProved) {
  std::string location(AsText(codec_.Encode(container_, ABlock())));
  EXPECT_EQ(ClaimedPartition(location), ABlock().partition);
  location[0] = location[0] == 'A' ? 'B' : 'A';
  ASSERT_TRUE(ClaimedPartition(location));
  EXPECT_NE(ClaimedPartition(location), ABlock().partition);
  location[1] = '?';
  EXPECT_FALSE(ClaimedPartition(location));
  EXPECT_FALSE(ClaimedPartition(""));
  EXPECT_FALSE(ClaimedPartition(std::string(95, 'A')));
}

TEST_F(LocationTest, RefusesGarbage) {
  for (std::string garbage : {std::string(), std::string("x"), std::string(96, 'A'),
                              std::string(96, '='), std::string(10'000, 'A')}) {
    EXPECT_FALSE(codec_.Decode(container_, garbage));
  }
}

// All blocks here share their place in the memo, and differ in one thing only.
TEST(LocationMemo, GivesTheLocationOfExactlyThatBlock) {
  struct Asked {
    LocationCodec codec;
    Container container;
    NamedBlock block;
  };
  const Asked plain{LocationCodec(LocationCodec::Key{1, 2, 3}), {"account", "container"}, ABlock()};
  std::vector<Asked> others(6, plain);
  others[0].codec = LocationCodec(LocationCodec::Key{1, 2, 4});
  others[1].container.account = "other";
  others[2].container.name = "other";
  others[3].block.partition[15] ^= 1;
  others[4].block.version.tokens_crc ^= 1;
  others[5].block.version.hash ^= 1;
  for (size_t byte = 8; byte < std::tuple_size_v<Digest>; ++byte) {
    others.push_back(plain);
    others.back().block.version.digest[byte] ^= 0x80;
  }
  LocationMemo memo;
  const auto expect_right = [&memo](const Asked& it) {
    const Space space = SpaceOf(it.container, it.block.partition);
    EXPECT_EQ(memo.Encode(it.codec, it.container, it.block.partition, {space, it.block.version}),
              it.codec.Encode(it.container, it.block));
  };
  for (const Asked& other : others) {
    expect_right(plain);
    expect_right(other);
    EXPECT_EQ(memo.hits(), 0u);
  }
  expect_right(others.back());
  EXPECT_EQ(memo.hits(), 1u);
}

}  // namespace
}  // namespace kvstore
