#include "KVPlayground/block_bytes.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace kvstore::playground {
namespace {

Digest DigestOf(const std::string& text) { return Sha256(AsBytes(text)); }

std::vector<std::byte> Filled(const BlockSeed& seed, size_t size) {
  std::vector<std::byte> buffer(size);
  FillBlock(seed, buffer);
  return buffer;
}

std::string Hex(const std::vector<std::byte>& bytes) {
  return ToHex({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
}

TEST(BlockBytes, NeverChangesFromOneVersionToTheNext) {
  // Stores outlive the program that filled them: other bytes would all be mismatches.
  EXPECT_EQ(Hex(Filled(SeedOf("playground", DigestOf("block")), 20)),
            "fd693a3e52718066dfa3babfc90f655fc18bfaf0");
}

TEST(BlockBytes, DiffersBetweenDigestsAndPartitions) {
  const auto one = Filled(SeedOf("a", DigestOf("x")), 4096);
  EXPECT_NE(one, Filled(SeedOf("a", DigestOf("y")), 4096));
  EXPECT_NE(one, Filled(SeedOf("b", DigestOf("x")), 4096));
  EXPECT_EQ(one, Filled(SeedOf("a", DigestOf("x")), 4096));
}

TEST(BlockBytes, OtherStreamsDifferWithinTheFirstWord) {
  const BlockSeed seed = SeedOf("a", DigestOf("x"));
  for (int i = 0; i < 1000; ++i) {
    const auto other = Filled(SeedOf("a-1", DigestOf(std::to_string(i))), 64);
    ASSERT_TRUE(FirstDifference(seed, other).has_value());
    EXPECT_LT(*FirstDifference(seed, other), 8u);
  }
}

TEST(BlockBytes, AcceptsItsOwnOfEverySize) {
  const BlockSeed seed = SeedOf("p", DigestOf("d"));
  for (size_t size : {1, 7, 8, 9, 4095, 4096, 4097, 65536, 70001}) {
    EXPECT_EQ(FirstDifference(seed, Filled(seed, size)), std::nullopt) << size;
  }
}

TEST(BlockBytes, FindsTheFirstOfAnyFlippedBit) {
  const BlockSeed seed = SeedOf("p", DigestOf("d"));
  const size_t size = 9001;
  for (size_t at : {0, 1, 7, 8, 4095, 4096, 8191, 8192, 8999, 9000}) {
    auto buffer = Filled(seed, size);
    buffer[at] ^= std::byte{1};
    buffer[size - 1] ^= std::byte{0x80};
    EXPECT_EQ(FirstDifference(seed, buffer), at);
  }
}

TEST(BlockBytes, TellsTheByteAtAnyPlace) {
  const BlockSeed seed = SeedOf("p", DigestOf("d"));
  const auto buffer = Filled(seed, 1003);
  for (size_t i = 0; i < buffer.size(); ++i) ASSERT_EQ(ByteAt(seed, i), buffer[i]) << i;
}

}  // namespace
}  // namespace kvstore::playground
