#include "KVPlayground/series.h"

#include <algorithm>

namespace kvstore::playground {

void Series::Bucket::Merge(const Bucket& other) {
  requests += other.requests;
  failed += other.failed;
  blocks += other.blocks;
  found += other.found;
  read_bytes += other.read_bytes;
  written_bytes += other.written_bytes;
  longest_call_us = std::max(longest_call_us, other.longest_call_us);
}

Series::Bucket& Series::At(std::chrono::steady_clock::duration since_start) {
  const auto when = std::max(since_start, std::chrono::steady_clock::duration::zero());
  while (when / width_ >= static_cast<int64_t>(kMaxBuckets)) Coarsen();
  const auto index = static_cast<size_t>(when / width_);
  if (buckets_.size() <= index) buckets_.resize(index + 1);
  return buckets_[index];
}

void Series::Merge(const Series& other) {
  while (width_ < other.width_) Coarsen();
  // Widths are kFinest doubled: the other's buckets lie whole within ours.
  for (size_t i = 0; i < other.buckets_.size(); ++i) {
    At(static_cast<int64_t>(i) * other.width_).Merge(other.buckets_[i]);
  }
}

void Series::Coarsen() {
  width_ *= 2;
  for (size_t i = 0; i < buckets_.size(); ++i) {
    const Bucket moved = buckets_[i];
    if (i > 0) buckets_[i] = {};
    if (i > 0) buckets_[i / 2].Merge(moved);
  }
  buckets_.resize((buckets_.size() + 1) / 2);
}

}  // namespace kvstore::playground
