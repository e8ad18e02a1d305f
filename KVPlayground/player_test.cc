#include "KVPlayground/player.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "KVPlayground/conversation_player.h"
#include "KVPlayground/fake_store.h"

namespace kvstore::playground {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr size_t kBufferBytes = 1000;

std::vector<Token> Tokens(size_t count, Token first = 0) {
  std::vector<Token> tokens(count);
  for (size_t i = 0; i < count; ++i) tokens[i] = first + static_cast<Token>(i);
  return tokens;
}

class PlayerTest : public ::testing::Test {
 protected:
  bool Play(const std::vector<Token>& tokens, size_t window = 3) {
    Player player(&store_, {"model", kBufferBytes, window}, &shared_, &stats_);
    const std::vector<Digest> digests = PrefixDigests(tokens);
    return player.Play({tokens, digests, "prompts[0]", 0});
  }
  std::string FirstMismatch() const {
    return shared_.mismatches.count() == 0 ? "" : shared_.mismatches.first()[0];
  }

  FakeStore store_;
  Shared shared_;
  RunStats stats_{1};
};

TEST_F(PlayerTest, WritesWhatIsMissingAndReadsItBack) {
  const auto tokens = Tokens(7 * 128 + 50);
  EXPECT_TRUE(Play(tokens));
  EXPECT_EQ(store_.size(), 7u);
  EXPECT_EQ(store_.write_calls(), 3u);  // by windows of three
  EXPECT_EQ(stats_.blocks_validated, 0u);
  EXPECT_TRUE(Play(tokens));
  EXPECT_EQ(store_.read_calls(), 3u);
  EXPECT_EQ(store_.write_calls(), 3u);
  EXPECT_EQ(stats_.blocks_validated, 7u);
  EXPECT_EQ(stats_.read_bytes, 7 * kBufferBytes);
  EXPECT_EQ(stats_.written_bytes, 7 * kBufferBytes);
  EXPECT_EQ(stats_.lookup.count, 2u);
  EXPECT_EQ(stats_.read.count, 7u);
  EXPECT_EQ(stats_.write.count, 7u);
  EXPECT_EQ(stats_.tokens, 2 * tokens.size());
  EXPECT_EQ(shared_.mismatches.count(), 0u);
}

TEST_F(PlayerTest, ContinuesALongerPromptBehindWhatIsThere) {
  EXPECT_TRUE(Play(Tokens(2 * 128)));
  EXPECT_TRUE(Play(Tokens(5 * 128)));
  EXPECT_EQ(stats_.iterations[0].found, 2u);
  EXPECT_EQ(stats_.iterations[0].blocks, 7u);
  EXPECT_EQ(store_.size(), 5u);
}

TEST_F(PlayerTest, LooksUpAPromptWithoutAFullBlock) {
  EXPECT_TRUE(Play(Tokens(127)));
  EXPECT_EQ(stats_.lookup.count, 1u);
  EXPECT_EQ(store_.size(), 0u);
}

TEST_F(PlayerTest, SeesAFlippedBit) {
  ASSERT_TRUE(Play(Tokens(256)));
  store_.spoil = [](FakeStore::Block& block) { block.buffer[777] ^= std::byte{4}; };
  EXPECT_TRUE(Play(Tokens(256)));  // no operation failed
  EXPECT_EQ(shared_.mismatches.count(), 2u);
  EXPECT_EQ(stats_.blocks_validated, 2u);
  EXPECT_THAT(FirstMismatch(), HasSubstr("model, prompts[0], block 0: byte 777 of 1000: expected"));
}

TEST_F(PlayerTest, SeesSwappedBlocks) {
  ASSERT_TRUE(Play(Tokens(256)));
  store_.SwapTwoBuffers();
  Play(Tokens(256));
  EXPECT_EQ(shared_.mismatches.count(), 2u);
  EXPECT_THAT(FirstMismatch(), HasSubstr("byte 0 of 1000"));
}

struct Spoiled {
  const char* message;
  void (*spoil)(FakeStore::Block&);
};

class SpoiledBlock : public PlayerTest, public ::testing::WithParamInterface<Spoiled> {};

TEST_P(SpoiledBlock, IsAMismatch) {
  ASSERT_TRUE(Play(Tokens(128)));
  store_.spoil = GetParam().spoil;
  Play(Tokens(128));
  ASSERT_EQ(shared_.mismatches.count(), 1u);
  EXPECT_THAT(FirstMismatch(), HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    All, SpoiledBlock,
    ::testing::Values(Spoiled{"parent hash: expected 0000000000000000, got 00000000000000ff",
                              [](FakeStore::Block& block) { block.parent = 255; }},
                      Spoiled{": hash: expected", [](FakeStore::Block& block) { ++block.hash; }},
                      Spoiled{"partition: expected \"model\", got \"other\"",
                              [](FakeStore::Block& block) { block.partition = "other"; }},
                      Spoiled{"its 128 tokens are not the prompt's",
                              [](FakeStore::Block& block) { ++block.tokens[127]; }},
                      Spoiled{"its 127 tokens",
                              [](FakeStore::Block& block) { block.tokens.pop_back(); }},
                      Spoiled{"999 bytes instead of 1000",
                              [](FakeStore::Block& block) { block.buffer.pop_back(); }},
                      Spoiled{"1001 bytes instead of 1000",
                              [](FakeStore::Block& block) { block.buffer.push_back({}); }}));

TEST_F(PlayerTest, ComputesLostBlocksAgain) {
  const auto tokens = Tokens(6 * 128);
  ASSERT_TRUE(Play(tokens));
  store_.lost = [&](const FakeStore::Block& block) {
    return block.tokens[0] == tokens[0] || block.tokens[0] == tokens[3 * 128];
  };
  EXPECT_TRUE(Play(tokens));
  EXPECT_EQ(stats_.lost_blocks, 2u);
  EXPECT_EQ(stats_.iterations[0].found, 4u);
  EXPECT_EQ(stats_.read.errors, 0u);
  EXPECT_EQ(stats_.write.count, 6u + 2u);
}

TEST_F(PlayerTest, CountsReadsThatFailAndWritesTheirBlocks) {
  ASSERT_TRUE(Play(Tokens(256)));
  store_.read_status = [](const FakeStore::Block& block) {
    return block.parent == 0 ? absl::UnavailableError("gone") : absl::OkStatus();
  };
  EXPECT_FALSE(Play(Tokens(256)));
  EXPECT_EQ(stats_.read.errors, 1u);
  EXPECT_EQ(stats_.read.count, 2u);
  EXPECT_EQ(stats_.write.count, 3u);
  EXPECT_EQ(stats_.failed_requests, 1u);
  EXPECT_THAT(shared_.errors.first()[0], HasSubstr("UNAVAILABLE: gone"));
}

TEST_F(PlayerTest, WritesAllWhereTheLookupFails) {
  store_.lookup_status = absl::UnavailableError("down");
  EXPECT_FALSE(Play(Tokens(256)));
  EXPECT_EQ(stats_.lookup.errors, 1u);
  EXPECT_EQ(store_.size(), 2u);
}

TEST_F(PlayerTest, CountsTheBlocksOfAWriteThatFails) {
  store_.write_status = absl::ResourceExhaustedError("full");
  EXPECT_FALSE(Play(Tokens(256)));
  EXPECT_EQ(stats_.write.errors, 2u);
  EXPECT_EQ(stats_.written_bytes, 0u);
}

TEST_F(PlayerTest, StopsTheRunAfterManyFailuresInARowOnly) {
  store_.lookup_status = absl::UnavailableError("down");
  for (int i = 0; i < Shared::kGiveUpAfter - 1; ++i) Play(Tokens(128));
  store_.lookup_status = absl::OkStatus();
  Play(Tokens(128));
  EXPECT_FALSE(shared_.stop);
  store_.lookup_status = absl::UnavailableError("down");
  for (int i = 0; i < Shared::kGiveUpAfter; ++i) Play(Tokens(128));
  EXPECT_TRUE(shared_.stop);
}

TEST(WindowBlocks, BoundsTheMemoryOfAllWorkers) {
  EXPECT_EQ(WindowBlocks(1'258'291, 1), 53u);
  EXPECT_EQ(WindowBlocks(4096, 8), 1024u);
  EXPECT_EQ(WindowBlocks(96u << 20, 1), 1u);
  EXPECT_EQ(WindowBlocks(1'258'291, 1000), 1u);
}

TEST(Conversations, MissInTheFirstIterationAndHitInAllOthers) {
  FakeStore store;
  Shared shared;
  const TokenizedPrompts prompts = {Tokens(300, 0), Tokens(50, 7000), Tokens(700, 9000)};
  const auto result = PlayConversations(&store, prompts, {{"model", 64, 2}, 10, 5, false}, &shared);
  EXPECT_DOUBLE_EQ(HitRatio(result.stats.iterations[0]), 0);
  for (size_t i = 1; i < 10; ++i) {
    EXPECT_DOUBLE_EQ(HitRatio(result.stats.iterations[i]), 1) << i;
    EXPECT_EQ(result.stats.iterations[i].requests, 15u);
  }
  EXPECT_DOUBLE_EQ(result.ideal_hit_ratio, 0.9);
  EXPECT_DOUBLE_EQ(HitRatio(result.stats.Total()), result.ideal_hit_ratio);
  EXPECT_EQ(shared.mismatches.count(), 0u);
  EXPECT_THAT(store.Partitions(), ElementsAre("model", "model-1", "model-2", "model-3", "model-4"));
}

TEST(Conversations, HitTheEarlierTurnsWithinAnIteration) {
  FakeStore store;
  Shared shared;
  const TokenizedPrompts prompts = {Tokens(256), Tokens(512)};
  const auto result = PlayConversations(&store, prompts, {{"model", 64, 8}, 1, 1, false}, &shared);
  EXPECT_EQ(result.stats.Total().found, 2u);
  EXPECT_EQ(result.stats.Total().blocks, 6u);
  EXPECT_DOUBLE_EQ(HitRatio(result.stats.Total()), result.ideal_hit_ratio);
}

TEST(Conversations, OverlapInOnePartitionWhenShared) {
  FakeStore store;
  Shared shared;
  const TokenizedPrompts prompts = {Tokens(512), Tokens(640)};
  const auto result = PlayConversations(&store, prompts, {{"model", 64, 8}, 4, 8, true}, &shared);
  EXPECT_THAT(store.Partitions(), ElementsAre("model"));
  EXPECT_EQ(store.size(), 5u);
  EXPECT_EQ(shared.mismatches.count(), 0u);
  EXPECT_DOUBLE_EQ(HitRatio(result.stats.iterations[3]), 1);
}

}  // namespace
}  // namespace kvstore::playground
