#include "KVClient/src/load_estimator.h"

#include <gtest/gtest.h>

namespace kvstore::client {
namespace {

using std::chrono::microseconds;

constexpr size_t kBlock = 1'000'000;

// Reads `blocks` at once, at so many bytes a microsecond behind a round trip.
void Load(LoadEstimator& estimator, microseconds& now, int blocks, double rate,
          microseconds round_trip, bool below) {
  estimator.ReadsBegin(now, blocks);
  now += round_trip;
  for (int i = 0; i < blocks; ++i) {
    now += microseconds(static_cast<int64_t>(kBlock / rate));
    estimator.ReadEnds(now, kBlock, below);
  }
  now += microseconds(5000);  // idle
}

TEST(LoadEstimator, KnowsNothingBeforeAnythingWasRead) {
  LoadEstimator estimator;
  EXPECT_FALSE(estimator.Estimate(kBlock, 0));
  estimator.RoundTrip(microseconds(300));
  EXPECT_FALSE(estimator.Estimate(kBlock, 0));
  estimator.ReadsBegin(microseconds(0));
  estimator.ReadEnds(microseconds(100), 0, false);
  EXPECT_FALSE(estimator.Estimate(kBlock, 0)) << "a read that failed tells nothing";
}

TEST(LoadEstimator, IsARoundTripAndTheBytesAtTheirRate) {
  LoadEstimator estimator;
  microseconds now(0);
  estimator.RoundTrip(microseconds(20'000));
  for (int i = 0; i < 5; ++i) Load(estimator, now, 8, 2000, microseconds(20'000), false);
  const auto estimate = estimator.Estimate(94 * kBlock, 0);
  ASSERT_TRUE(estimate);
  EXPECT_NEAR(estimate->count(), 20'000 + 94 * 500, 2'000);
  EXPECT_EQ(estimator.Estimate(0, 94 * kBlock), estimate) << "as the kind that is known";
}

TEST(LoadEstimator, TellsWhatComesFromBelowRam) {
  LoadEstimator estimator;
  microseconds now(0);
  estimator.RoundTrip(microseconds(200));
  for (int i = 0; i < 5; ++i) {
    Load(estimator, now, 40, 2000, microseconds(200), false);
    Load(estimator, now, 40, 100, microseconds(200), true);
  }
  EXPECT_NEAR(estimator.Estimate(10 * kBlock, 0)->count(), 200 + 10 * 500, 600);
  EXPECT_NEAR(estimator.Estimate(0, 10 * kBlock)->count(), 200 + 10 * 10'000, 10'000);
}

TEST(LoadEstimator, FollowsWhatChanges) {
  LoadEstimator estimator;
  microseconds now(0);
  Load(estimator, now, 8, 2000, microseconds(0), false);
  const auto before = estimator.Estimate(100 * kBlock, 0);
  for (int i = 0; i < 50; ++i) Load(estimator, now, 8, 500, microseconds(0), false);
  EXPECT_NEAR(estimator.Estimate(100 * kBlock, 0)->count(), 4.0 * before->count(),
              0.1 * before->count());
  // A call that waited does not make the network slow.
  estimator.RoundTrip(microseconds(100));
  for (int i = 0; i < 3; ++i) estimator.RoundTrip(microseconds(10'000));
  EXPECT_LT(estimator.Estimate(0, 0)->count(), 1'200);
}

}  // namespace
}  // namespace kvstore::client
