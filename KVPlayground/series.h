// What happened when: counts over time, in bounded memory however long a run is.
#ifndef KVPLAYGROUND_SERIES_H_
#define KVPLAYGROUND_SERIES_H_

#include <chrono>
#include <cstdint>
#include <vector>

namespace kvstore::playground {

// Buckets of equal width from the run's start on. Where they would become more than kMaxBuckets,
// two become one and the width doubles. Not thread-safe: one a thread, merged at the end.
class Series {
 public:
  struct Bucket {
    uint64_t requests = 0;  // that ended
    uint64_t failed = 0;    // of them, with an operation that failed
    uint64_t blocks = 0;    // full blocks that these looked up
    uint64_t found = 0;     // of them, delivered
    uint64_t read_bytes = 0;
    uint64_t written_bytes = 0;
    int64_t longest_call_us = 0;  // of the calls that ended

    void Merge(const Bucket& other);
  };

  static constexpr size_t kMaxBuckets = 240;
  static constexpr std::chrono::milliseconds kFinest{100};

  // The bucket of what happens so long after the start; the reference holds until the next call.
  // Before the start counts as the start.
  Bucket& At(std::chrono::steady_clock::duration since_start);
  void Merge(const Series& other);

  std::chrono::milliseconds width() const { return width_; }
  // The first begins at the start; the last is the last that anything happened in.
  const std::vector<Bucket>& buckets() const { return buckets_; }

 private:
  void Coarsen();

  std::chrono::milliseconds width_ = kFinest;
  std::vector<Bucket> buckets_;
};

}  // namespace kvstore::playground

#endif  // KVPLAYGROUND_SERIES_H_
