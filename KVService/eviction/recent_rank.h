// Where a number stands among those that came before it of late.
#ifndef KVSERVICE_EVICTION_RECENT_RANK_H_
#define KVSERVICE_EVICTION_RECENT_RANK_H_

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace kvstore {

// Not thread-safe. Deterministic. Numbers are told apart by a quarter to an eighth of their size.
class RecentRank {
 public:
  static constexpr uint32_t kQuarters = 4;

  // The quarter of the recent numbers that `number` would belong to, 0 for the lowest; it is one of
  // them from now on.
  uint32_t QuarterOf(size_t number) {
    const size_t bucket = BucketOf(number);
    uint32_t below = 0;
    for (size_t b = 0; b < bucket; ++b) below += counts_[b];
    const uint32_t twice_rank = 2 * below + counts_[bucket];  // in the middle of its equals
    const uint32_t quarter =
        total_ == 0 ? 0 : std::min(kQuarters - 1, kQuarters * twice_rank / (2 * total_));
    ++counts_[bucket];
    if (++total_ >= kRemembered) Halve();
    return quarter;
  }

 private:
  static constexpr uint32_t kRemembered = 2048;

  static size_t BucketOf(size_t number) {
    if (number < 4) return number;
    const auto log = static_cast<size_t>(std::bit_width(number)) - 1;
    return std::min(kBuckets - 1, 4 * (log - 1) + ((number >> (log - 2)) & 3));
  }

  void Halve() {
    total_ = 0;
    for (uint32_t& count : counts_) total_ += count /= 2;
  }

  static constexpr size_t kBuckets = 64;
  std::array<uint32_t, kBuckets> counts_{};
  uint32_t total_ = 0;
};

}  // namespace kvstore

#endif  // KVSERVICE_EVICTION_RECENT_RANK_H_
