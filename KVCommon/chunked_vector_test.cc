#include "KVCommon/chunked_vector.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>

namespace kvstore {
namespace {

TEST(ChunkedVectorTest, KeepsWhatItHoldsWhereItIs) {
  using Element = std::array<uint32_t, 17>;
  ChunkedVector<Element> vector;
  EXPECT_EQ(vector.memory_bytes(), 0u);
  vector.GrowTo(1);
  vector[0][16] = 7;
  const Element* const first = &vector[0];
  for (size_t size = 2; size < 200'000; size += 777) {
    const size_t before = vector.size();
    vector.GrowTo(size);
    for (size_t i = before; i < size; ++i) {
      ASSERT_EQ(vector[i], Element{}) << "new elements are zeros";
      vector[i][3] = static_cast<uint32_t>(i);
    }
  }
  EXPECT_EQ(&vector[0], first);
  EXPECT_EQ(vector[0][16], 7u);
  for (size_t i = 1; i < vector.size(); ++i) ASSERT_EQ(vector[i][3], i);
  EXPECT_LT(vector.memory_bytes(), vector.size() * sizeof(Element) + (size_t{5} << 20));
}

TEST(ChunkedVectorTest, NeverShrinks) {
  ChunkedVector<uint64_t> vector;
  vector.GrowTo(10);
  vector.GrowTo(5);
  EXPECT_EQ(vector.size(), 10u);
}

TEST(PagesTest, DroppedPagesReadAsZerosAndPartsOfPagesStay) {
  std::byte* const start = MapPages(8 * kPageBytes, false);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(start) % kHugePageBytes, 0u);
  for (size_t i = 0; i < 8 * kPageBytes; ++i) start[i] = std::byte{1};
  DropPages(start + 100, 3 * kPageBytes);
  EXPECT_EQ(start[kPageBytes - 1], std::byte{1});
  EXPECT_EQ(start[kPageBytes], std::byte{0});
  EXPECT_EQ(start[3 * kPageBytes - 1], std::byte{0});
  EXPECT_EQ(start[3 * kPageBytes], std::byte{1});
  UnmapPages(start, 8 * kPageBytes);
}

}  // namespace
}  // namespace kvstore
