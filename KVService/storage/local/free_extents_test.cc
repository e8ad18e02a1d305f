#include "KVService/storage/local/free_extents.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

namespace kvstore::local {
namespace {

using ::testing::ElementsAre;

TEST(FreeExtentsTest, GivesOutTheNewestOfExactlyThatSize) {
  FreeExtents extents;
  extents.Add({1, 0, 8192});
  extents.Add({1, 8192, 4096});
  extents.Add({2, 0, 8192});
  extents.Settle(extents.added());
  EXPECT_EQ(extents.ready_bytes(), 20480);
  EXPECT_FALSE(extents.Take(12288).has_value());
  EXPECT_EQ(extents.Take(8192), (FreeExtent{2, 0, 8192}));
  EXPECT_EQ(extents.Take(8192), (FreeExtent{1, 0, 8192}));
  EXPECT_FALSE(extents.Take(8192).has_value());
  EXPECT_EQ(extents.Take(4096), (FreeExtent{1, 8192, 4096}));
  EXPECT_EQ(extents.ready_bytes(), 0);
}

TEST(FreeExtentsTest, GivesOutNothingThatIsNotSettled) {
  FreeExtents extents;
  extents.Add({1, 0, 4096});
  const uint64_t mark = extents.added();
  extents.Add({1, 4096, 4096});
  EXPECT_FALSE(extents.Take(4096).has_value());
  EXPECT_TRUE(extents.TakeBeyond(0).empty());
  extents.Settle(mark);
  EXPECT_EQ(extents.waiting_bytes(), 4096);
  EXPECT_EQ(extents.Take(4096), (FreeExtent{1, 0, 4096}));
  EXPECT_FALSE(extents.Take(4096).has_value());
  extents.Settle(mark);  // an older one that comes late
  EXPECT_FALSE(extents.Take(4096).has_value());
  extents.Settle(extents.added());
  EXPECT_EQ(extents.Take(4096), (FreeExtent{1, 4096, 4096}));
}

TEST(FreeExtentsTest, TheOldestGoFirst) {
  FreeExtents extents;
  for (uint64_t i = 0; i < 4; ++i) extents.Add({1, i * 4096, 4096});
  extents.Settle(4);
  EXPECT_THAT(extents.TakeBeyond(8192),
              ElementsAre(FreeExtent{1, 0, 4096}, FreeExtent{1, 4096, 4096}));
  EXPECT_TRUE(extents.TakeBeyond(8192).empty());
}

TEST(FreeExtentsTest, ASegmentThatGoesTakesItsOwn) {
  FreeExtents extents;
  extents.Add({1, 0, 4096});
  extents.Add({2, 0, 4096});
  extents.Add({1, 4096, 4096});
  extents.Settle(extents.added());
  extents.Add({1, 8192, 4096});
  extents.Add({2, 8192, 4096});
  EXPECT_EQ(extents.TakeSegment(1).size(), 3);
  EXPECT_EQ(extents.ready_bytes(), 4096);
  EXPECT_EQ(extents.waiting_bytes(), 4096);
  extents.Settle(extents.added());
  EXPECT_EQ(extents.Take(4096), (FreeExtent{2, 8192, 4096}));
  EXPECT_EQ(extents.Take(4096), (FreeExtent{2, 0, 4096}));
  EXPECT_FALSE(extents.Take(4096).has_value());
}

// Random work against plain sets: nothing is given out twice, none is lost.
TEST(FreeExtentsTest, KeepsEveryExtentOnce) {
  FreeExtents extents;
  std::set<std::pair<uint32_t, uint64_t>> inside;
  uint64_t random = 1, offset = 0, bytes = 0;
  const auto out = [&](const FreeExtent& extent) {
    EXPECT_EQ(inside.erase({extent.segment, extent.offset}), 1);
    bytes -= extent.size;
  };
  for (int i = 0; i < 20000; ++i) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    const uint64_t size = 4096 * (1 + (random >> 33) % 4);
    const auto segment = static_cast<uint32_t>((random >> 40) % 5);
    switch ((random >> 50) % 8) {
      case 0:
        extents.Settle(extents.added());
        break;
      case 1:
      case 2:
      case 3:
        if (const auto extent = extents.Take(size)) {
          EXPECT_EQ(extent->size, size);
          out(*extent);
        }
        break;
      case 4:
        if (i % 16 == 0) {
          for (const FreeExtent& extent : extents.TakeSegment(segment)) out(extent);
        } else {
          for (const FreeExtent& extent : extents.TakeBeyond(256 << 10)) out(extent);
        }
        break;
      default:
        extents.Add({segment, offset, size});
        inside.emplace(segment, offset);
        offset += size;
        bytes += size;
    }
    ASSERT_EQ(extents.ready_bytes() + extents.waiting_bytes(), bytes);
  }
  extents.Settle(extents.added());
  for (const FreeExtent& extent : extents.TakeBeyond(0)) out(extent);
  EXPECT_TRUE(inside.empty());
}

}  // namespace
}  // namespace kvstore::local
