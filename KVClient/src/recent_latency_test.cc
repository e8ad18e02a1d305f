#include "KVClient/src/recent_latency.h"

#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace kvstore::client {
namespace {

using std::chrono::microseconds;

double Us(std::chrono::nanoseconds time) { return static_cast<double>(time.count()) / 1000; }

TEST(RecentLatency, KnowsNothingAtFirst) {
  const RecentLatency latency;
  EXPECT_EQ(latency.Quantile(0.95).count(), 0);
  EXPECT_EQ(latency.samples(), 0u);
}

TEST(RecentLatency, IsExactToAnEighth) {
  for (const int64_t us : {0, 1, 7, 8, 9, 100, 999, 12'345, 1'000'000, 100'000'000}) {
    RecentLatency latency;
    latency.Add(microseconds(us));
    EXPECT_GE(Us(latency.Quantile(0.5)), static_cast<double>(us));
    EXPECT_LE(Us(latency.Quantile(0.5)), static_cast<double>(us) * 1.125 + 1);
  }
}

TEST(RecentLatency, GivesQuantiles) {
  RecentLatency latency;
  for (int us = 1; us <= 1000; ++us) latency.Add(microseconds(us));
  EXPECT_NEAR(Us(latency.Quantile(0.5)), 500, 70);
  EXPECT_NEAR(Us(latency.Quantile(0.95)), 950, 130);
  EXPECT_EQ(latency.samples(), 1000u);
}

TEST(RecentLatency, Forgets) {
  RecentLatency latency;
  for (int i = 0; i < 1000; ++i) latency.Add(std::chrono::seconds(1));
  for (int i = 0; i < 20'000; ++i) latency.Add(microseconds(100));
  EXPECT_LT(Us(latency.Quantile(0.99)), 200);
}

TEST(RecentLatency, TakesWhatNoClockWouldGive) {
  RecentLatency latency;
  latency.Add(std::chrono::hours(100));
  latency.Add(std::chrono::nanoseconds(-5));
  EXPECT_GT(Us(latency.Quantile(1)), 1e8);
}

TEST(RecentLatency, ThreadsMayAddAtOnce) {
  RecentLatency latency;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int k = 0; k < 10'000; ++k) latency.Add(microseconds(100));
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_NEAR(Us(latency.Quantile(0.5)), 104, 10);
}

}  // namespace
}  // namespace kvstore::client
