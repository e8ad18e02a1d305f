#include "KVClient/src/recent_latency.h"

#include <algorithm>
#include <bit>

namespace kvstore::client {
namespace {

size_t BucketOf(uint64_t us) {
  if (us < 8) return us;
  const auto power = static_cast<size_t>(std::bit_width(us)) - 1;  // 3 or more
  return 8 + (power - 3) * 8 + ((us >> (power - 3)) & 7);
}

// The first that is in the next bucket.
uint64_t EndOf(size_t bucket) {
  if (bucket < 8) return bucket + 1;
  const size_t power = (bucket - 8) / 8 + 3;
  return (uint64_t{8} + (bucket - 8) % 8 + 1) << (power - 3);
}

}  // namespace

void RecentLatency::Add(std::chrono::nanoseconds latency) {
  const auto us = static_cast<uint64_t>(std::max<int64_t>(0, latency.count() / 1000));
  counts_[std::min(BucketOf(us), kBuckets - 1)].fetch_add(1, std::memory_order_relaxed);
  if (total_.fetch_add(1, std::memory_order_relaxed) + 1 != kRemembered) return;
  // Whoever counts the last one halves all, while others may add: a few are lost or kept.
  uint32_t left = 0;
  for (std::atomic<uint32_t>& count : counts_) {
    const uint32_t half = count.load(std::memory_order_relaxed) / 2;
    count.store(half, std::memory_order_relaxed);
    left += half;
  }
  total_.store(left, std::memory_order_relaxed);
}

std::chrono::nanoseconds RecentLatency::Quantile(double share) const {
  uint64_t total = 0;
  for (const std::atomic<uint32_t>& count : counts_) total += count.load(std::memory_order_relaxed);
  if (total == 0) return {};
  const auto wanted =
      std::max<uint64_t>(1, static_cast<uint64_t>(share * static_cast<double>(total)));
  uint64_t seen = 0;
  size_t bucket = 0;
  for (; bucket < kBuckets - 1; ++bucket) {
    seen += counts_[bucket].load(std::memory_order_relaxed);
    if (seen >= wanted) break;
  }
  return std::chrono::microseconds(EndOf(bucket));
}

}  // namespace kvstore::client
