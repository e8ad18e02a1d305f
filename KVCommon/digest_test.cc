#include "KVCommon/digest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <set>

#ifdef __x86_64__
#include <cpuid.h>
#endif

namespace kvstore {
namespace {

std::vector<Token> Tokens(size_t count, Token first = 0) {
  std::vector<Token> tokens(count);
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

BlockTokens Block(const std::vector<Token>& tokens, size_t index) {
  return std::span(tokens).subspan(index * kBlockTokens).first<kBlockTokens>();
}

// FIPS 180-4's own example.
TEST(Digest, Sha256OfAbc) {
  EXPECT_EQ(ToHex(Sha256(AsBytes("abc"))),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

// RFC 3720, B.4.
TEST(Digest, Crc32cOfTheRfcsVectors) {
  EXPECT_EQ(Crc32c(AsBytes(std::string(32, '\0'))), 0x8a9136aau);
  EXPECT_EQ(Crc32c(AsBytes(std::string(32, '\xff'))), 0x62a8ab43u);
  EXPECT_EQ(Crc32c(AsBytes("123456789")), 0xe3069283u);
  EXPECT_EQ(Crc32c({}), 0u);
}

TEST(Digest, Crc32cContinuesFromASeed) {
  const std::string text = "a block of tensors, in two parts";
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    const uint32_t first = Crc32c(AsBytes(text).first(cut));
    EXPECT_EQ(Crc32c(AsBytes(text).subspan(cut), first), Crc32c(AsBytes(text)));
  }
}

// Pinned so that no change of code moves what is stored: computed with Python's hashlib over
// struct.pack("<128q", *range(128)) and what follows it.
TEST(Digest, PrefixDigestsChainOverLittleEndianTokens) {
  const std::vector<Token> tokens = Tokens(300);
  const std::vector<Digest> digests = PrefixDigests(tokens);
  ASSERT_EQ(digests.size(), 2u);
  EXPECT_EQ(ToHex(digests[0]), "3e4f0a2fd9498da7c1440a355a22b6292161a5216c63aa0bc59b5a4742fd1e36");
  EXPECT_EQ(ToHex(digests[1]), "a019b7fed6789c152de17c5606532a8bdc45df40cdfa053184e5b9e8cb25de42");
  EXPECT_EQ(digests[0], Sha256(std::as_bytes(Block(tokens, 0))));
  EXPECT_EQ(ToHex(ParentDigest(7, Block(tokens, 0))),
            "3d04677967fd552e2eea54b97f3337b9ec1ddba900970999f5188caa0d6ae0f2");
}

TEST(Digest, EveryTokenOfThePrefixCounts) {
  const std::vector<Token> tokens = Tokens(2 * kBlockTokens);
  std::set<Digest> seen = {PrefixDigests(tokens)[1]};
  for (size_t i = 0; i < tokens.size(); ++i) {
    std::vector<Token> changed = tokens;
    changed[i] ^= 1 << 20;
    EXPECT_TRUE(seen.insert(PrefixDigests(changed)[1]).second) << "token " << i;
  }
}

TEST(Digest, ATailShorterThanABlockHasNone) {
  EXPECT_TRUE(PrefixDigests(Tokens(kBlockTokens - 1)).empty());
  EXPECT_EQ(PrefixDigests(Tokens(2 * kBlockTokens - 1)).size(), 1u);
}

TEST(Digest, HexRoundTripsAndRefusesTheRest) {
  const Digest digest = Sha256(AsBytes("x"));
  Digest back;
  EXPECT_TRUE(FromHex(ToHex(digest), back));
  EXPECT_EQ(back, digest);
  for (std::string bad : {"", "0", "zz", "ABCD", "0g"}) EXPECT_FALSE(FromHex(bad, back)) << bad;
  uint8_t one[1];
  EXPECT_FALSE(FromHex("0G", one));
  EXPECT_FALSE(FromHex("A0", one));
}

#ifdef __x86_64__
// Whether the processor keeps upper parts of vector registers for this thread (Intel's manual,
// volume 1, 13.6); nullopt where it does not tell.
std::optional<bool> UpperPartsInUse() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid_count(0xd, 1, &eax, &ebx, &ecx, &edx) == 0 || (eax & 4) == 0) return std::nullopt;
  asm volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(1));
  return (eax & 4) != 0;
}

TEST(Digest, ACrcLeavesNoUpperPartsOfVectorRegistersInUse) {
  if (!UpperPartsInUse()) GTEST_SKIP() << "this processor does not tell";
  const std::string bytes(1 << 20, 'x');
  for (size_t size : {1, 100, 256, 1000, 1024, 1 << 20}) {
    Crc32c(AsBytes(bytes).first(size));
    EXPECT_EQ(UpperPartsInUse(), false) << size;
  }
}
#endif

}  // namespace
}  // namespace kvstore
