#include "KVCommon/buffer_pool.h"

#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <fstream>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "KVCommon/slice.h"

namespace kvstore {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

size_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  size_t total = 0, resident = 0;
  statm >> total >> resident;
  return resident * 4096;
}

TEST(BufferPoolTest, RoundsUpByASixteenthAtMost) {
  for (size_t size = BufferPool::kSmallest; size < 200 * kMiB; size += size / 7 + 1) {
    const size_t footprint = BufferPool::FootprintOf(size);
    EXPECT_GE(footprint, size);
    EXPECT_EQ(footprint % 4096, 0u);
    EXPECT_LE(footprint - size, std::max<size_t>(4096, size / 16)) << size;
    EXPECT_EQ(BufferPool::FootprintOf(footprint), footprint);
  }
}

TEST(BufferPoolTest, GivesOutWhatCameBack) {
  BufferPool pool;
  std::byte* const first = pool.Take(kMiB);
  std::byte* const second = pool.Take(kMiB);
  EXPECT_NE(first, second);
  EXPECT_EQ(pool.live_bytes(), 2 * kMiB);
  pool.Give(second, kMiB);
  EXPECT_EQ(pool.live_bytes(), kMiB);
  EXPECT_EQ(pool.idle_bytes(), kMiB);  // two made a huge page
  EXPECT_EQ(pool.Take(kMiB - 100), second) << "same footprint";
  EXPECT_NE(pool.Take(2 * kMiB), first);
  pool.Give(first, kMiB);
}

TEST(BufferPoolTest, KeepsNoMoreThanItMay) {
  BufferPool pool;
  std::vector<std::byte*> taken;
  for (int i = 0; i < 300; ++i) {
    taken.push_back(pool.Take(kMiB));
    std::memset(taken.back(), 1, kMiB);
  }
  for (std::byte* memory : taken) pool.Give(memory, kMiB);
  EXPECT_EQ(pool.live_bytes(), 0u);
  EXPECT_LE(pool.idle_bytes(), BufferPool::kMaxIdleBytes + kMiB);
  EXPECT_EQ(*taken.front(), std::byte{0}) << "the longest idle went back to the system";
  // All of it can be had again, each once.
  std::set<std::byte*> again;
  for (int i = 0; i < 300; ++i) again.insert(pool.Take(kMiB));
  EXPECT_EQ(again, std::set<std::byte*>(taken.begin(), taken.end()));
}

// Sizes that come and go: memory follows what is in use, whatever was in use before.
TEST(BufferPoolTest, MixedSizesLeaveNoFragments) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers keep memory of their own for every byte";
#endif
  BufferPool pool;
  std::mt19937 random(5);
  const size_t before = ResidentBytes();
  constexpr size_t kBudget = 256 * kMiB;
  std::deque<std::pair<std::byte*, size_t>> live;
  size_t live_bytes = 0, most = 0, worst_told = 0;
  for (int step = 0; step < 3000; ++step) {
    // Each phase has a size of its own, and a few of any.
    const size_t phase = (size_t{48} << 10) << (step / 500 * 3 % 8);
    const size_t size = random() % 4 ? phase : BufferPool::kSmallest + random() % (4 * kMiB);
    std::byte* const memory = pool.Take(size);
    std::memset(memory, 1, size);
    live.push_back({memory, size});
    live_bytes += BufferPool::FootprintOf(size);
    while (live_bytes > kBudget) {
      const size_t victim = random() % std::min<size_t>(live.size(), 8);
      live_bytes -= BufferPool::FootprintOf(live[victim].second);
      pool.Give(live[victim].first, live[victim].second);
      live.erase(live.begin() + static_cast<ptrdiff_t>(victim));
    }
    ASSERT_EQ(pool.live_bytes(), live_bytes);
    if (step % 50 == 0) {
      most = std::max(most, ResidentBytes() - before);
      worst_told = std::max(worst_told, pool.live_bytes() + pool.idle_bytes());
    }
  }
  EXPECT_LE(most, worst_told + 16 * kMiB);
}

TEST(BufferPoolTest, ManyThreads) {
  BufferPool pool;
  std::vector<std::thread> threads;
  for (uint8_t t = 1; t <= 4; ++t) {
    threads.emplace_back([&pool, t] {
      std::mt19937 random(t);
      for (int i = 0; i < 2000; ++i) {
        const size_t size = BufferPool::kSmallest << random() % 3;
        std::byte* const memory = pool.Take(size);
        memory[0] = memory[size - 1] = std::byte{t};
        std::this_thread::yield();
        ASSERT_EQ(memory[0], std::byte{t});
        ASSERT_EQ(memory[size - 1], std::byte{t});
        pool.Give(memory, size);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(pool.live_bytes(), 0u);
}

TEST(BufferTest, TellsWhatItHolds) {
  const size_t before = Buffer::LiveBytes();
  Slice part;
  {
    Buffer buffer = Buffer::Allocate(kMiB + 1);
    Slice whole = std::move(buffer).Freeze(10, kMiB - 10);
    EXPECT_GE(whole.held_bytes(), kMiB + 1);
    part = whole.Sub(5, 7);
    EXPECT_EQ(part.held_bytes(), whole.held_bytes());
    EXPECT_EQ(Buffer::LiveBytes() - before, part.held_bytes());
  }
  EXPECT_EQ(Buffer::LiveBytes() - before, part.held_bytes());
  part = {};
  EXPECT_EQ(Buffer::LiveBytes(), before);
}

}  // namespace
}  // namespace kvstore
