#include "KVPlayground/series.h"

#include <gtest/gtest.h>

#include <random>

namespace kvstore::playground {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

uint64_t Requests(const Series& series) {
  uint64_t sum = 0;
  for (const Series::Bucket& bucket : series.buckets()) sum += bucket.requests;
  return sum;
}

TEST(Series, CountsWhereItHappened) {
  Series series;
  EXPECT_TRUE(series.buckets().empty());
  series.At(milliseconds(0)).requests += 1;
  series.At(milliseconds(99)).requests += 2;
  series.At(milliseconds(250)).requests += 4;
  series.At(milliseconds(-5)).requests += 8;
  ASSERT_EQ(series.width(), milliseconds(100));
  ASSERT_EQ(series.buckets().size(), 3u);
  EXPECT_EQ(series.buckets()[0].requests, 11u);
  EXPECT_EQ(series.buckets()[1].requests, 0u);
  EXPECT_EQ(series.buckets()[2].requests, 4u);
}

TEST(Series, CoarsensAndLosesNothing) {
  Series series;
  for (int i = 0; i < 240; ++i) series.At(milliseconds(100 * i)).requests = i;
  EXPECT_EQ(series.width(), milliseconds(100));
  series.At(milliseconds(24'000)).requests += 1000;
  EXPECT_EQ(series.width(), milliseconds(200));
  ASSERT_EQ(series.buckets().size(), 121u);
  for (size_t i = 0; i < 120; ++i) EXPECT_EQ(series.buckets()[i].requests, 4 * i + 1) << i;
  EXPECT_EQ(series.buckets()[120].requests, 1000u);
}

TEST(Series, StaysBoundedForAYear) {
  Series series;
  uint64_t added = 0;
  for (int hour = 0; hour < 24 * 365; hour += 7, ++added) ++series.At(hours(hour)).requests;
  EXPECT_LE(series.buckets().size(), Series::kMaxBuckets);
  EXPECT_GE(series.buckets().size(), Series::kMaxBuckets / 2);
  EXPECT_EQ(Requests(series), added);
}

TEST(Series, MergesAsIfAllHadHappenedInOne) {
  std::mt19937 random(1);
  for (const int end_ms : {5'000, 60'000, 4'000'000}) {
    Series one, two, all;
    for (int i = 0; i < 1000; ++i) {
      // The two end at different times, so that their widths differ.
      const bool first = i % 2 == 0;
      const milliseconds when(random() % static_cast<unsigned>(first ? 5'000 : end_ms));
      for (Series* series : {first ? &one : &two, &all}) {
        Series::Bucket& bucket = series->At(when);
        bucket.Merge({1, i % 3 == 0, 5, 4, 100, 10, i});
      }
    }
    Series forth = one, back = two;
    forth.Merge(two);
    back.Merge(one);
    for (const Series& merged : {forth, back}) {
      ASSERT_EQ(merged.width(), all.width());
      ASSERT_EQ(merged.buckets().size(), all.buckets().size());
      for (size_t i = 0; i < all.buckets().size(); ++i) {
        const Series::Bucket &got = merged.buckets()[i], &expected = all.buckets()[i];
        EXPECT_EQ(got.requests, expected.requests);
        EXPECT_EQ(got.failed, expected.failed);
        EXPECT_EQ(got.blocks, expected.blocks);
        EXPECT_EQ(got.found, expected.found);
        EXPECT_EQ(got.read_bytes, expected.read_bytes);
        EXPECT_EQ(got.written_bytes, expected.written_bytes);
        EXPECT_EQ(got.longest_call_us, expected.longest_call_us);
      }
    }
  }
}

}  // namespace
}  // namespace kvstore::playground
