// The RAM tier: blobs by block, bounded in bytes; which to give up says the policy (eviction/).
#ifndef KVSERVICE_CACHE_RAM_CACHE_H_
#define KVSERVICE_CACHE_RAM_CACHE_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "KVCommon/chunked_vector.h"
#include "KVCommon/slice.h"
#include "KVService/block/block_id.h"
#include "KVService/eviction/prefix_policy.h"
#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"

namespace kvstore {

// Thread-safe. A reader takes the lock of one of many tables, which is held for a lookup, an
// insertion or a removal in it and for nothing else: it never waits for an eviction. No lock is
// held while memory is freed.
class RamCache {
 public:
  // Charged for each block beside the memory that its bytes hold: tables, policy, control block.
  static constexpr uint64_t kOverheadBytes = 512;

  // Blocks given up, by reason.
  struct Evictions {
    uint64_t replaced = 0;      // for the room of a newcomer or of what else is in memory
    uint64_t not_admitted = 0;  // the newcomer itself: the policy would rather keep the others
    uint64_t resized = 0;       // since the capacity was set
  };
  struct Usage {
    uint64_t blocks = 0;
    uint64_t used_bytes = 0;  // memory that the blocks hold, and kOverheadBytes each
    uint64_t capacity_bytes = 0;
    uint64_t hits = 0;
    uint64_t misses = 0;
    Evictions evictions;
  };

  // `others`: bytes that other things than cached blocks take of the capacity at the moment,
  // without `incoming`, which is about to be cached; asked by each Put. None where it is empty. A
  // capacity of 0 holds nothing.
  using Others = std::function<uint64_t(const Slice& incoming)>;
  explicit RamCache(uint64_t capacity_bytes, Others others = nullptr)
      : capacity_(capacity_bytes), others_(std::move(others)) {}

  // The block's bytes, or an empty slice. Counts as a hit or a miss; what was used is Touch's
  // matter.
  Slice Get(const BlockId& id);

  // Keeps the block, behind its parent where that is here, and gives up others for it, or the block
  // itself where the policy says so. One that does not fit is not kept; one that is here already
  // stays.
  void Put(const BlockId& id, Slice data, const std::optional<BlockId>& parent);

  bool Contains(const BlockId& id) const;

  void Erase(const BlockId& id);

  // Tells the policy what a Lookup of `asked` blocks found, here or not; in the prompt's order,
  // first block first. Sets which of them are here.
  void Touch(std::span<const BlockId> found, size_t asked, std::vector<bool>* here);

  // From now on; blocks that do not fit any more go at once.
  void SetCapacity(uint64_t bytes);

  // The memory that cached blocks hold. Cheap.
  uint64_t held_bytes() const { return held_.load(std::memory_order_relaxed); }

  Usage usage() const;

 private:
  struct Entry {
    Slice data;
    uint32_t slot = 0;  // the policy's number of it
  };
  struct Table {
    mutable absl::Mutex mutex;
    absl::flat_hash_map<BlockId, Entry> entries ABSL_GUARDED_BY(mutex);
    uint64_t hits ABSL_GUARDED_BY(mutex) = 0;
    uint64_t misses ABSL_GUARDED_BY(mutex) = 0;
  };
  static constexpr size_t kTables = 16;

  static uint64_t CostOf(const Slice& data) { return data.held_bytes() + kOverheadBytes; }
  Table& TableOf(const BlockId& id) const;
  // Without the table's lock: tables change under the policy's alone.
  std::optional<uint32_t> SlotOf(const BlockId& id) const ABSL_SHARED_LOCKS_REQUIRED(policy_mutex_);
  uint64_t RoomBeside(const Slice& incoming) const;
  // `newcomer`: the block that wants the room; none where it is the capacity that changed.
  void ShrinkTo(uint64_t room, std::optional<uint32_t> newcomer, std::vector<Slice>* freed)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(policy_mutex_);
  uint32_t TakeSlot() ABSL_EXCLUSIVE_LOCKS_REQUIRED(policy_mutex_);
  // Moves the block's bytes to `freed`, for the caller to drop without a lock.
  void Remove(const BlockId& id, std::vector<Slice>* freed)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(policy_mutex_);

  std::atomic<uint64_t> capacity_;
  const Others others_;
  mutable std::array<Table, kTables> tables_;
  std::atomic<uint64_t> held_ = 0;

  // Taken before a table's. Whoever adds or removes blocks has both.
  mutable absl::Mutex policy_mutex_;
  PrefixPolicy policy_ ABSL_GUARDED_BY(policy_mutex_);
  ChunkedVector<BlockId> ids_ ABSL_GUARDED_BY(policy_mutex_);  // by slot
  std::vector<uint32_t> free_slots_ ABSL_GUARDED_BY(policy_mutex_);
  uint64_t blocks_ ABSL_GUARDED_BY(policy_mutex_) = 0;
  uint64_t used_ ABSL_GUARDED_BY(policy_mutex_) = 0;
  Evictions evictions_ ABSL_GUARDED_BY(policy_mutex_);
};

}  // namespace kvstore

#endif  // KVSERVICE_CACHE_RAM_CACHE_H_
