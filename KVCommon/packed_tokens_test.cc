#include "KVCommon/packed_tokens.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace kvstore {
namespace {

std::vector<Token> SomeTokens(std::mt19937_64& random, size_t count) {
  std::vector<Token> tokens(count);
  for (Token& token : tokens) {
    token = static_cast<Token>(random() >> (random() % 8 ? 43 + random() % 20 : random() % 64));
  }
  return tokens;
}

TEST(PackedTokens, GivesBackWhatWasPacked) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 500; ++round) {
    const std::vector<Token> tokens = SomeTokens(random, random() % 700);
    const PackedTokens packed(tokens);
    EXPECT_EQ(packed.size(), tokens.size());
    EXPECT_EQ(packed.blocks(), tokens.size() / kBlockTokens);
    EXPECT_EQ(packed.Unpack(), tokens);
    ByteView left = packed.bytes();
    for (size_t i = 0; i < packed.blocks(); ++i) {
      std::vector<Token> block(kBlockTokens);
      left = left.subspan(UnpackBlock(left, std::span(block).first<kBlockTokens>()));
      EXPECT_EQ(block, std::vector(&tokens[i * kBlockTokens], &tokens[i * kBlockTokens] + 128));
    }
  }
}

TEST(PackedTokens, IsMadeOfPieces) {
  std::mt19937_64 random(2);
  const std::vector<Token> tokens = SomeTokens(random, 300);
  PackedTokens packed;
  for (const Token token : tokens) {
    EXPECT_TRUE(packed.Add([&](std::string* bytes) {
      bytes->append(AsText(PackedTokens(std::span(&token, 1)).bytes()));
      return true;
    }));
  }
  EXPECT_EQ(packed.Unpack(), tokens);
  packed.Clear();
  EXPECT_TRUE(packed.empty());
  EXPECT_EQ(packed.bytes().size(), 0u);
}

bool Takes(const std::string& bytes) {
  PackedTokens packed;
  return packed.Add([&](std::string* all) {
    all->append(bytes);
    return true;
  });
}

// Wherever among many they are.
TEST(PackedTokens, RefusesWhatIsNoVarint) {
  EXPECT_TRUE(Takes(""));
  const std::string longest = std::string(9, '\x80') + '\x01';
  const std::string longer = std::string(10, '\x80') + '\x01';
  std::mt19937_64 random(3);
  for (int round = 0; round < 500; ++round) {
    const PackedTokens before(SomeTokens(random, random() % 60));
    const PackedTokens after(SomeTokens(random, random() % 60));
    const std::string head(AsText(before.bytes())), tail(AsText(after.bytes()));
    EXPECT_TRUE(Takes(head + longest + tail));
    EXPECT_FALSE(Takes(head + longer + tail));
    EXPECT_FALSE(Takes(head + longest + tail + '\x80')) << "ends within one";
  }
  EXPECT_FALSE(PackedTokens().Add([](std::string*) { return false; }));
}

}  // namespace
}  // namespace kvstore
