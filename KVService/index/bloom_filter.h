// BloomFilter: says of a key that was never added, most times and without a look anywhere else,
// that it was not (Bloom, 1970). Blocked (Putze, Sanders and Singler, 2007): all bits of a key lie
// in one cache line, so that a question costs one miss. It grows by layers, each twice as large as
// the last and half as often wrong (Almeida et al., 2007), so the number of keys need not be known.
//
//   layer   ceil(capacity * bits a key / 512) lines of 512 bits
//   key     64 uniform bits: scaled, they choose the line; mixed, 9 bits each, the bits in it
#ifndef KVSERVICE_INDEX_BLOOM_FILTER_H_
#define KVSERVICE_INDEX_BLOOM_FILTER_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace kvstore {

struct BloomStats {
  uint64_t keys = 0;  // that changed a bit: about the number of distinct ones
  uint64_t bytes = 0;
  int layers = 0;
  double fill = 0;                 // of all its bits, the share that is set
  double false_positive_rate = 0;  // expected, from the bits that are set
};

// Thread-safe; MayContain takes no lock. A key that was added is never denied, once Add has
// returned.
class BloomFilter {
 public:
  // Sized for that many keys at that rate of false positives, until it has to grow.
  // REQUIRES: capacity > 0, 0 < rate < 1.
  BloomFilter(uint64_t capacity, double false_positive_rate);
  ~BloomFilter();

  // `key` must be uniform, such as 8 bytes of a SHA-256.
  void Add(uint64_t key);
  bool MayContain(uint64_t key) const;

  BloomStats stats() const;
  uint64_t memory_bytes() const;  // cheap, where stats() looks at samples

 private:
  struct Layer;
  static constexpr size_t kMaxLayers = 24;

  const uint64_t capacity_;
  const double rate_;
  absl::Mutex grow_mutex_;
  std::array<std::atomic<Layer*>, kMaxLayers> layers_{};  // owned; filled from the front
  std::atomic<size_t> count_ = 0;
};

}  // namespace kvstore

#endif  // KVSERVICE_INDEX_BLOOM_FILTER_H_
