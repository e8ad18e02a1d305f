#include "KVPlayground/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace kvstore::playground {
namespace {

TEST(Histogram, IsZeroWithoutValues) {
  const Histogram histogram;
  EXPECT_EQ(histogram.Percentile(50), 0);
  EXPECT_EQ(histogram.max(), 0);
  EXPECT_EQ(histogram.count(), 0u);
}

TEST(Histogram, IsExactForSmallValues) {
  Histogram histogram;
  for (int i = 1; i <= 100; ++i) histogram.Add(i);
  EXPECT_EQ(histogram.Percentile(50), 50);
  EXPECT_EQ(histogram.Percentile(90), 90);
  EXPECT_EQ(histogram.Percentile(99), 99);
  EXPECT_EQ(histogram.Percentile(100), 100);
  EXPECT_EQ(histogram.max(), 100);
}

TEST(Histogram, StaysWithinOnePercentOfTheTruePercentile) {
  std::mt19937_64 random(1);
  std::lognormal_distribution<double> latencies(8, 2);
  Histogram histogram;
  std::vector<int64_t> values;
  for (int i = 0; i < 20'000; ++i) {
    values.push_back(static_cast<int64_t>(latencies(random)));
    histogram.Add(values.back());
  }
  std::ranges::sort(values);
  for (double percent : {1.0, 50.0, 90.0, 99.0, 99.9}) {
    const auto rank = static_cast<size_t>(std::ceil(percent / 100 * 20'000)) - 1;
    const auto exact = static_cast<double>(values[rank]);
    const auto told = static_cast<double>(histogram.Percentile(percent));
    EXPECT_GE(told, exact) << percent;
    EXPECT_LE(told, exact * 1.01) << percent;
  }
}

TEST(Histogram, NeverTellsMoreThanTheMaximum) {
  Histogram histogram;
  histogram.Add(1'000'001);
  EXPECT_EQ(histogram.Percentile(50), 1'000'001);
  EXPECT_EQ(histogram.Percentile(99), 1'000'001);
}

TEST(Histogram, TakesTheExtremes) {
  Histogram histogram;
  histogram.Add(-5);
  histogram.Add(std::numeric_limits<int64_t>::max());
  EXPECT_EQ(histogram.Percentile(50), 0);
  EXPECT_EQ(histogram.max(), Histogram::kMaxValue);
  EXPECT_EQ(histogram.Percentile(99), Histogram::kMaxValue);
}

TEST(Histogram, MergesAsIfAllWereAddedToOne) {
  Histogram one;
  Histogram two;
  Histogram all;
  for (int i = 0; i < 1000; ++i) {
    (i % 3 ? one : two).Add(i * i);
    all.Add(i * i);
  }
  one.Merge(two);
  EXPECT_EQ(one.count(), all.count());
  EXPECT_EQ(one.max(), all.max());
  for (double percent : {10.0, 50.0, 99.0}) {
    EXPECT_EQ(one.Percentile(percent), all.Percentile(percent));
  }
}

}  // namespace
}  // namespace kvstore::playground
