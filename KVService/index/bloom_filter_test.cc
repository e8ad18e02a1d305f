#include "KVService/index/bloom_filter.h"

#include <gtest/gtest.h>

#include <random>
#include <thread>
#include <vector>

namespace kvstore {
namespace {

std::vector<uint64_t> Keys(size_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<uint64_t> keys(count);
  for (uint64_t& key : keys) key = random();
  return keys;
}

double MeasuredRate(const BloomFilter& filter, size_t questions = 200'000) {
  size_t wrong = 0;
  for (const uint64_t key : Keys(questions, 99)) wrong += filter.MayContain(key);
  return static_cast<double>(wrong) / static_cast<double>(questions);
}

TEST(BloomFilter, NeverDeniesAnInsertedKey) {
  BloomFilter filter(10'000, 0.01);
  const auto keys = Keys(100'000, 1);  // ten times what it was sized for
  for (const uint64_t key : keys) {
    filter.Add(key);
    ASSERT_TRUE(filter.MayContain(key));
  }
  for (const uint64_t key : keys) ASSERT_TRUE(filter.MayContain(key));
}

TEST(BloomFilter, KeepsItsRateAtItsCapacityAndBeyond) {
  for (const double rate : {0.1, 0.01, 0.001}) {
    for (const size_t times : {1, 10}) {
      BloomFilter filter(20'000, rate);
      for (const uint64_t key : Keys(20'000 * times, 2)) filter.Add(key);
      const double measured = MeasuredRate(filter);
      EXPECT_LE(measured, rate * 1.1) << "rate " << rate << ", times " << times;
      // What it says of itself is what it does.
      EXPECT_NEAR(filter.stats().false_positive_rate, measured, rate * 0.3) << rate;
    }
  }
}

TEST(BloomFilter, CostsAboutTheBitsThatTheoryAsksFor) {
  BloomFilter filter(1'000'000, 0.01);
  EXPECT_LT(filter.stats().bytes * 8, 15'000'000u);
  EXPECT_EQ(filter.stats().layers, 1);
  EXPECT_EQ(MeasuredRate(filter), 0.0);
  EXPECT_EQ(filter.stats().keys, 0u);
  EXPECT_EQ(filter.stats().fill, 0);
  for (const uint64_t key : Keys(1'000'000, 3)) filter.Add(key);
  EXPECT_GT(filter.stats().fill, 0.3) << "about half of the bits, at its capacity";
  EXPECT_LT(filter.stats().fill, 0.6);
}

TEST(BloomFilter, ThreadsAddWhileItGrows) {
  BloomFilter filter(1'000, 0.01);
  std::vector<std::thread> threads;
  for (uint64_t seed = 0; seed < 4; ++seed) {
    threads.emplace_back([&filter, seed] {
      for (const uint64_t key : Keys(20'000, 10 + seed)) {
        filter.Add(key);
        ASSERT_TRUE(filter.MayContain(key));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (uint64_t seed = 0; seed < 4; ++seed) {
    for (const uint64_t key : Keys(20'000, 10 + seed)) ASSERT_TRUE(filter.MayContain(key));
  }
}

}  // namespace
}  // namespace kvstore
