#include "KVCommon/varints.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

namespace kvstore::wire {
namespace {

// As the specification puts it.
std::vector<std::byte> Plainly(std::span<const uint64_t> values) {
  std::vector<std::byte> out;
  for (uint64_t value : values) {
    for (; value >= 0x80; value >>= 7) out.push_back(static_cast<std::byte>(value % 128 + 128));
    out.push_back(static_cast<std::byte>(value));
  }
  return out;
}

void Check(std::span<const uint64_t> values) {
  const std::vector<std::byte> expected = Plainly(values);
  size_t size = 0;
  for (uint64_t value : values) size += VarintSize(value);
  ASSERT_EQ(size, expected.size());
  std::byte* (*const ways[])(std::byte*, std::span<const uint64_t>) = {&PutVarints,
                                                                       &PutVarintsPortably};
  for (const auto way : ways) {
    const std::unique_ptr<std::byte[]> room(new std::byte[size + kVarintSlack]);  // ASan guards it
    std::byte* const end = way(room.get(), values);
    ASSERT_EQ(std::vector<std::byte>(room.get(), end), expected);
  }
  // Where there is room for small ones alone.
  const bool small =
      std::ranges::all_of(values, [](uint64_t value) { return value < uint64_t{1} << 21; });
  const std::unique_ptr<std::byte[]> room(
      new std::byte[values.size() * kSmallVarintSize + kVarintSlack]);
  std::byte* const end = PutSmallVarints(room.get(), values);
  ASSERT_EQ(end != nullptr, small);
  if (small) {
    ASSERT_EQ(std::vector<std::byte>(room.get(), end), expected);
  }
}

TEST(Varints, HaveTheSizesOfTheSpecification) {
  std::vector<uint64_t> values = {0, ~uint64_t{0}};
  for (int bits = 0; bits < 64; ++bits) {
    values.push_back(uint64_t{1} << bits);
    values.push_back((uint64_t{1} << bits) - 1);
  }
  Check(values);
  for (const uint64_t value : values) Check(std::span(&value, 1));
}

TEST(Varints, OfMixedSizesFollowOneAnother) {
  std::mt19937_64 random(7);
  for (const int most_bits : {7, 8, 14, 17, 21, 22, 28, 64}) {
    for (size_t count = 0; count < 40; ++count) {
      std::vector<uint64_t> values(count);
      for (uint64_t& value : values) value = random() >> (64 - 1 - random() % most_bits);
      Check(values);
    }
  }
}

TEST(Varints, NegativeOnesTakeTenBytes) {
  const std::vector<int64_t> values = {-1, 5};
  std::byte room[2 * kMaxVarintSize + kVarintSlack];
  EXPECT_EQ(PutVarints(room, std::span(values)) - room, 11);
}

}  // namespace
}  // namespace kvstore::wire
