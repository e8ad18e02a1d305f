#include "KVService/eviction/recent_rank.h"

#include <gtest/gtest.h>

namespace kvstore {
namespace {

TEST(RecentRank, QuartersOfWhatCameOfLate) {
  RecentRank rank;
  for (size_t i = 0; i < 1000; ++i) rank.QuarterOf(i % 100);
  EXPECT_EQ(rank.QuarterOf(10), 0u);
  EXPECT_EQ(rank.QuarterOf(35), 1u);
  EXPECT_EQ(rank.QuarterOf(60), 2u);
  EXPECT_EQ(rank.QuarterOf(95), 3u);
  EXPECT_EQ(rank.QuarterOf(1'000'000'000), 3u);
}

TEST(RecentRank, FollowsWhatChanges) {
  RecentRank rank;
  for (size_t i = 0; i < 5000; ++i) rank.QuarterOf(i % 10);
  EXPECT_EQ(rank.QuarterOf(50), 3u);
  for (size_t i = 0; i < 20'000; ++i) rank.QuarterOf(1000 + i % 1000);
  EXPECT_EQ(rank.QuarterOf(50), 0u);
}

TEST(RecentRank, WhereAllAreAlikeTheyAreInTheMiddle) {
  RecentRank rank;
  for (int i = 0; i < 100; ++i) rank.QuarterOf(7);
  EXPECT_EQ(rank.QuarterOf(7), 2u);
}

}  // namespace
}  // namespace kvstore
