#include "KVService/store/prefix_digester.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace kvstore {
namespace {

std::vector<Token> RandomBlock(std::mt19937_64& random, Token most) {
  std::vector<Token> tokens(kBlockTokens);
  for (Token& token : tokens) token = static_cast<Token>(random() % static_cast<uint64_t>(most));
  return tokens;
}

void ExpectRight(PrefixDigester& digester, const std::optional<Digest>& previous,
                 const std::vector<Token>& tokens) {
  const BlockTokens block = std::span<const Token>(tokens).first<kBlockTokens>();
  const PackedTokens packed(tokens);
  const PrefixDigester::Block got = digester.Run(previous, packed.bytes());
  EXPECT_EQ(got.digest.digest, PrefixDigest(previous, block));
  EXPECT_EQ(got.digest.tokens_crc, TokensCrc(block));
  EXPECT_EQ(got.packed_bytes, packed.bytes().size());
}

// Blocks that share their place and differ in one thing only: a token that is not part of the
// place, the prefix, whether there is one, the upper half of a token.
TEST(PrefixDigester, GivesTheDigestOfExactlyThatBlock) {
  std::mt19937_64 random(4);
  PrefixDigester digester;
  const std::vector<Token> tokens = RandomBlock(random, 1000);
  ExpectRight(digester, std::nullopt, tokens);
  for (size_t i = 0; i < kBlockTokens; ++i) {
    std::vector<Token> other = tokens;
    for (Token change : {Token{1}, Token{1} << 32, Token{1} << 40, Token{-1}}) {
      other[i] = tokens[i] ^ change;
      ExpectRight(digester, std::nullopt, other);
      ExpectRight(digester, std::nullopt, tokens);
      ExpectRight(digester, std::nullopt, other);
    }
  }
  ExpectRight(digester, Digest{}, tokens);
  ExpectRight(digester, std::nullopt, tokens);
  for (size_t byte = 0; byte < 32; ++byte) {
    Digest previous{};
    previous[byte] = 1;
    ExpectRight(digester, previous, tokens);
    ExpectRight(digester, Digest{}, tokens);
  }
}

TEST(PrefixDigester, KnowsWhatItSawBefore) {
  std::mt19937_64 random(5);
  PrefixDigester digester;
  const std::vector<Token> a = RandomBlock(random, 100'000), b = RandomBlock(random, 100'000);
  ExpectRight(digester, std::nullopt, a);
  ExpectRight(digester, std::nullopt, b);
  EXPECT_EQ(digester.hits(), 0u);
  ExpectRight(digester, std::nullopt, a);
  EXPECT_EQ(digester.hits(), 1u);
}

// Blocks of more bytes than an entry has, and of as many.
TEST(PrefixDigester, IsRightAboutLargeTokens) {
  PrefixDigester digester;
  for (const Token token : {Token{1} << 34, Token{1} << 35, Token{-1}}) {
    const std::vector<Token> tokens(kBlockTokens, token);
    for (int i = 0; i < 2; ++i) ExpectRight(digester, std::nullopt, tokens);
  }
  EXPECT_EQ(digester.hits(), 1u) << "the smallest of them alone is kept";
}

// A prompt that ends within what is kept of another.
TEST(PrefixDigester, TakesNoMoreThanThereIs) {
  PrefixDigester digester;
  std::vector<Token> tokens(kBlockTokens, 5);
  tokens.back() = 300;
  ExpectRight(digester, std::nullopt, tokens);
  tokens.back() = 300 % 128;
  ExpectRight(digester, std::nullopt, tokens);
}

}  // namespace
}  // namespace kvstore
