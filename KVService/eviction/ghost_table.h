// Remembers blocks that were given up, a bounded sample of them, to see whether they come back.
#ifndef KVSERVICE_EVICTION_GHOST_TABLE_H_
#define KVSERVICE_EVICTION_GHOST_TABLE_H_

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

namespace kvstore {

// What is remembered of a block.
struct Ghost {
  uint32_t key = 0;  // a fingerprint; 0: no ghost
  uint32_t time = 0;
  uint8_t block_class = 0;
  uint8_t turn = 0;
};

// A set-associative table; the oldest of a set makes way. Not thread-safe.
class GhostTable {
 public:
  static constexpr size_t kWays = 8;

  // REQUIRES: `entries` is a power of two, kWays at least.
  explicit GhostTable(size_t entries) : entries_(entries) {}

  size_t capacity() const { return entries_.size(); }

  // Forgets the ghost of that key and returns it.
  std::optional<Ghost> Take(uint64_t key) {
    for (size_t i = 0, at = SetOf(key); i < kWays; ++i, ++at) {
      if (entries_[at].key != FingerprintOf(key)) continue;
      const Ghost ghost = entries_[at];
      entries_[at] = Ghost();
      return ghost;
    }
    return std::nullopt;
  }

  // Adds one. Returns the one that made way for it.
  std::optional<Ghost> Add(uint64_t key, uint32_t time, uint8_t block_class, uint8_t turn) {
    size_t oldest = SetOf(key);
    for (size_t i = 0, at = SetOf(key); i < kWays; ++i, ++at) {
      if (entries_[at].key == 0 || entries_[at].key == FingerprintOf(key)) {
        oldest = at;
        break;
      }
      // Times wrap around: the difference tells which is older.
      if (static_cast<int32_t>(entries_[at].time - entries_[oldest].time) < 0) oldest = at;
    }
    const Ghost before = entries_[oldest];
    entries_[oldest] = {FingerprintOf(key), time, block_class, turn};
    if (before.key == 0) return std::nullopt;
    return before;
  }

 private:
  static uint32_t FingerprintOf(uint64_t key) { return static_cast<uint32_t>(key >> 32) | 1; }
  size_t SetOf(uint64_t key) const { return (key & (entries_.size() - 1)) / kWays * kWays; }

  std::vector<Ghost> entries_;
};

}  // namespace kvstore

#endif  // KVSERVICE_EVICTION_GHOST_TABLE_H_
