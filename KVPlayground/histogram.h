// Latencies in bounded memory: a histogram with a relative error below 1 %.
#ifndef KVPLAYGROUND_HISTOGRAM_H_
#define KVPLAYGROUND_HISTOGRAM_H_

#include <array>
#include <cstddef>
#include <cstdint>

namespace kvstore::playground {

// Log-linear buckets, as HDR histograms have: exact below 256, then 128 buckets to each power of
// two. Not thread-safe: one a thread, merged at the end.
class Histogram {
 public:
  // Larger values (2^40 us are twelve days) count as this one; negative ones as 0.
  static constexpr int64_t kMaxValue = (int64_t{1} << 40) - 1;

  void Add(int64_t value);
  void Merge(const Histogram& other);

  uint64_t count() const { return count_; }
  int64_t max() const { return max_; }  // exact; 0 without values

  // The smallest value that at least `percent` of the values do not exceed, rounded up to its
  // bucket's end but never beyond max(). 0 without values. REQUIRES: 0 < percent <= 100.
  int64_t Percentile(double percent) const;

 private:
  static constexpr size_t kBuckets = 32 * 128 + 256;

  static size_t BucketOf(int64_t value);
  static int64_t EndOf(size_t bucket);

  std::array<uint64_t, kBuckets> counts_{};
  uint64_t count_ = 0;
  int64_t max_ = 0;
};

}  // namespace kvstore::playground

#endif  // KVPLAYGROUND_HISTOGRAM_H_
