#include "KVService/cache/ram_cache.h"

#include <gtest/gtest.h>

#include <random>
#include <thread>

namespace kvstore {
namespace {

BlockId Id(uint64_t number) {
  BlockId id;
  id.version.digest = Sha256(std::as_bytes(std::span(&number, 1)));
  id.version.hash = number;
  return id;
}

Slice Filled(size_t size, char byte) { return Slice::CopyOf(AsBytes(std::string(size, byte))); }

constexpr size_t kSize = 1000;
constexpr uint64_t kCost = kSize + RamCache::kOverheadBytes;

TEST(RamCache, GivesBackWhatWasPut) {
  RamCache cache(10 * kCost);
  cache.Put(Id(1), Filled(kSize, 'a'), std::nullopt);
  EXPECT_EQ(AsText(cache.Get(Id(1)).bytes()), std::string(kSize, 'a'));
  EXPECT_TRUE(cache.Get(Id(2)).empty());
  cache.Put(Id(1), Filled(kSize, 'b'), std::nullopt);
  EXPECT_EQ(AsText(cache.Get(Id(1)).bytes()), std::string(kSize, 'a')) << "the first stays";
  cache.Erase(Id(1));
  EXPECT_TRUE(cache.Get(Id(1)).empty());
  EXPECT_EQ(cache.usage().used_bytes, 0u);
  EXPECT_EQ(cache.usage().hits, 2u);
  EXPECT_EQ(cache.usage().misses, 2u);
}

TEST(RamCache, NeverHoldsMoreThanItMay) {
  std::mt19937 random(3);
  RamCache cache(50 * kCost);
  for (int i = 0; i < 5000; ++i) {
    cache.Put(Id(random() % 500), Filled(1 + random() % 5000, 'x'), std::nullopt);
    ASSERT_LE(cache.usage().used_bytes, cache.usage().capacity_bytes);
  }
  EXPECT_GT(cache.usage().evictions.replaced, 0u);
  EXPECT_EQ(cache.usage().evictions.resized, 0u);
}

TEST(RamCache, GivesUpTheEndOfAPromptBeforeItsRoot) {
  RamCache cache(3 * kCost);
  cache.Put(Id(0), Filled(kSize, '0'), std::nullopt);
  cache.Put(Id(1), Filled(kSize, '1'), Id(0));
  cache.Put(Id(2), Filled(kSize, '2'), Id(1));
  cache.Put(Id(9), Filled(kSize, '9'), std::nullopt);
  EXPECT_TRUE(cache.Get(Id(2)).empty());
  EXPECT_FALSE(cache.Get(Id(0)).empty());
  const BlockId prompt[] = {Id(0), Id(1), Id(7)};
  std::vector<bool> here;
  cache.Touch(prompt, std::size(prompt), &here);
  EXPECT_EQ(here, (std::vector<bool>{true, true, false}));
  cache.Put(Id(8), Filled(kSize, '8'), std::nullopt);
  EXPECT_TRUE(cache.Get(Id(9)).empty());
  EXPECT_FALSE(cache.Get(Id(1)).empty());
}

TEST(RamCache, HoldsNothingWithNoCapacityAndNothingTooLarge) {
  RamCache none(0);
  none.Put(Id(1), Filled(1, 'a'), std::nullopt);
  EXPECT_EQ(none.usage().blocks, 0u);
  RamCache small(kCost);
  small.Put(Id(1), Filled(kSize, 'a'), std::nullopt);
  small.Put(Id(2), Filled(kSize + 1, 'b'), std::nullopt);
  EXPECT_FALSE(small.Get(Id(1)).empty());
  EXPECT_TRUE(small.Get(Id(2)).empty());
}

TEST(RamCache, MakesRoomForWhatElseIsInMemory) {
  uint64_t others = 0;
  RamCache cache(10 * kCost, [&](const Slice& incoming) {
    EXPECT_EQ(incoming.size(), kSize);
    return others;
  });
  for (uint64_t i = 0; i < 10; ++i) cache.Put(Id(i), Filled(kSize, 'a'), std::nullopt);
  EXPECT_EQ(cache.usage().blocks, 10u);
  others = 4 * kCost;
  cache.Put(Id(20), Filled(kSize, 'b'), std::nullopt);
  EXPECT_EQ(cache.usage().blocks, 6u);
  EXPECT_FALSE(cache.Get(Id(20)).empty());
  others = 100 * kCost;
  cache.Put(Id(21), Filled(kSize, 'b'), std::nullopt);
  EXPECT_EQ(cache.usage().blocks, 6u) << "what cannot be kept costs nobody his place";
}

TEST(RamCache, AnEvictedSliceLivesAsLongAsItsReader) {
  RamCache cache(kCost);
  cache.Put(Id(1), Filled(kSize, 'a'), std::nullopt);
  const Slice held = cache.Get(Id(1));
  cache.Put(Id(2), Filled(kSize, 'b'), std::nullopt);
  EXPECT_TRUE(cache.Get(Id(1)).empty());
  EXPECT_EQ(AsText(held.bytes()), std::string(kSize, 'a'));
}

TEST(RamCache, ManyThreadsSeeWholeBlocksOnly) {
  RamCache cache(20 * kCost);
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&cache, &wrong, t] {
      std::mt19937 random(t);
      for (int i = 0; i < 5000; ++i) {
        const uint64_t number = random() % 60;
        const BlockId prompt[] = {Id(number), Id(number + 1)};
        cache.Put(Id(number), Filled(kSize, static_cast<char>('0' + number)), Id(number + 1));
        std::vector<bool> here;
        cache.Touch(prompt, std::size(prompt), &here);
        if (i % 10 == 0) cache.Erase(Id(number));
        const Slice got = cache.Get(Id(number));
        if (!got.empty() &&
            AsText(got.bytes()) != std::string(kSize, static_cast<char>('0' + number))) {
          ++wrong;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST(RamCache, GivesUpWhatASmallerCapacityDoesNotHold) {
  RamCache cache(10 * kCost);
  for (uint64_t i = 0; i < 10; ++i) cache.Put(Id(i), Filled(kSize, 'a'), std::nullopt);
  cache.SetCapacity(4 * kCost);
  EXPECT_EQ(cache.usage().blocks, 4u);
  EXPECT_EQ(cache.usage().evictions.resized, 6u);
  EXPECT_EQ(cache.usage().capacity_bytes, 4 * kCost);
  for (uint64_t i = 10; i < 30; ++i) cache.Put(Id(i), Filled(kSize, 'a'), std::nullopt);
  EXPECT_EQ(cache.usage().blocks, 4u);
  cache.SetCapacity(8 * kCost);
  for (uint64_t i = 30; i < 50; ++i) cache.Put(Id(i), Filled(kSize, 'a'), std::nullopt);
  EXPECT_EQ(cache.usage().blocks, 8u);
  EXPECT_EQ(cache.usage().evictions.resized, 6u);
  EXPECT_EQ(cache.usage().evictions.replaced + cache.usage().evictions.not_admitted,
            20u + 20u - 4u);
}

}  // namespace
}  // namespace kvstore
