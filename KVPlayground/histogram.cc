#include "KVPlayground/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace kvstore::playground {

size_t Histogram::BucketOf(int64_t value) {
  const auto bits = static_cast<uint64_t>(value);
  if (bits < 256) return bits;
  const int shift = std::bit_width(bits) - 8;
  return static_cast<size_t>(shift) * 128 + (bits >> shift);
}

int64_t Histogram::EndOf(size_t bucket) {
  if (bucket < 256) return static_cast<int64_t>(bucket);
  const size_t shift = bucket / 128 - 1;
  return static_cast<int64_t>(((bucket - shift * 128 + 1) << shift) - 1);
}

void Histogram::Add(int64_t value) {
  value = std::clamp<int64_t>(value, 0, kMaxValue);
  ++counts_[BucketOf(value)];
  ++count_;
  max_ = std::max(max_, value);
}

void Histogram::Merge(const Histogram& other) {
  for (size_t i = 0; i < kBuckets; ++i) counts_[i] += other.counts_[i];
  count_ += other.count_;
  max_ = std::max(max_, other.max_);
}

int64_t Histogram::Percentile(double percent) const {
  const auto rank = static_cast<uint64_t>(std::ceil(percent / 100 * static_cast<double>(count_)));
  uint64_t seen = 0;
  for (size_t i = 0; i < kBuckets; ++i) {
    seen += counts_[i];
    if (seen > 0 && seen >= rank) return std::min(EndOf(i), max_);
  }
  return max_;
}

}  // namespace kvstore::playground
