// The RAM tier: blobs by block, bounded in bytes, the coldest given up first (eviction/).
#ifndef KVSERVICE_CACHE_RAM_CACHE_H_
#define KVSERVICE_CACHE_RAM_CACHE_H_

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "KVCommon/slice.h"
#include "KVService/block/block_id.h"
#include "KVService/eviction/prefix_lru.h"
#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"

namespace kvstore {

// Thread-safe. The lock is held for table work only, never while memory is freed.
class RamCache {
 public:
  // Charged for each block beside its bytes: tables, allocator, control block, and the record's
  // header where the block was read from disk.
  static constexpr uint64_t kOverheadBytes = 512;

  struct Usage {
    uint64_t blocks = 0;
    uint64_t used_bytes = 0;
    uint64_t capacity_bytes = 0;
    uint64_t hits = 0;
    uint64_t misses = 0;
    uint64_t evictions = 0;
  };

  // 0 bytes: holds nothing.
  explicit RamCache(uint64_t capacity_bytes) : capacity_(capacity_bytes) {}

  // The block's bytes, or an empty slice. Counts as a hit or a miss; recency is Touch's matter.
  Slice Get(const BlockId& id);

  // Keeps the block, right behind its parent in recency where that is here too, and gives up colder
  // ones for it. A block larger than the capacity is not kept; one that is here already stays.
  void Put(const BlockId& id, Slice data, const std::optional<BlockId>& parent);

  bool Contains(const BlockId& id) const;

  void Erase(const BlockId& id);

  // Marks a prompt's blocks as just used; in its order, first block first.
  void Touch(std::span<const BlockId> prompt);

  Usage usage() const;

 private:
  struct Entry {
    BlockId id;
    Slice data;
  };

  static uint64_t CostOf(const Slice& data) { return data.size() + kOverheadBytes; }
  // Moves the entry's bytes to `freed`, for the caller to drop without the lock.
  void Remove(uint32_t slot, std::vector<Slice>* freed) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const uint64_t capacity_;
  mutable absl::Mutex mutex_;
  absl::flat_hash_map<BlockId, uint32_t> slots_ ABSL_GUARDED_BY(mutex_);
  std::vector<Entry> entries_ ABSL_GUARDED_BY(mutex_);
  std::vector<uint32_t> free_slots_ ABSL_GUARDED_BY(mutex_);
  PrefixLru recency_ ABSL_GUARDED_BY(mutex_);
  uint64_t used_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t hits_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t misses_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t evictions_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace kvstore

#endif  // KVSERVICE_CACHE_RAM_CACHE_H_
