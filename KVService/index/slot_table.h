// A hash table of slot numbers whose chains run through the slots themselves: four bytes a bucket
// and four a slot. It grows by linear hashing (Litwin, "Linear Hashing: A New Tool for File and
// Table Addressing", VLDB 1980): one bucket is split for each slot that is added, so that no
// insertion ever rehashes all, which for millions of slots takes a second under the lock.
#ifndef KVSERVICE_INDEX_SLOT_TABLE_H_
#define KVSERVICE_INDEX_SLOT_TABLE_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "KVCommon/chunked_vector.h"

namespace kvstore {

// `Slots` knows a slot's hash and holds its link:
//   size_t HashOf(uint32_t slot) const;
//   uint32_t& Next(uint32_t slot) const;
// Slots of one bucket stand in the order of their insertion, in a ring: a bucket holds its last
// slot
// + 1 (0: empty), whose link is the first. So the newest is added and the oldest removed at O(1),
// however many bear one hash. Not thread-safe; calls that change nothing may run at the same time.
template <typename Slots>
class SlotTable {
 public:
  explicit SlotTable(Slots slots) : slots_(slots) { heads_.GrowTo(1); }

  // Shows the slots that may have this hash, those of its bucket, oldest first, until `visit`
  // returns false.
  template <typename Visit>
  void ForEach(size_t hash, Visit visit) const {
    const uint32_t last = heads_[BucketOf(hash)];
    if (last == 0) return;
    for (uint32_t at = slots_.Next(last - 1);; at = slots_.Next(at)) {
      if (!visit(at) || at == last - 1) return;
    }
  }

  // For a ForEach that comes soon: first the bucket, then the slot it names, if any.
  void PrefetchBucket(size_t hash) const { heads_.Prefetch(BucketOf(hash)); }
  std::optional<uint32_t> LastOfBucket(size_t hash) const {
    const uint32_t last = heads_[BucketOf(hash)];
    if (last == 0) return std::nullopt;
    return last - 1;
  }

  // REQUIRES: the slot is not in; its hash stays as it is until it is removed.
  void Insert(uint32_t slot) {
    Append(&heads_[BucketOf(slots_.HashOf(slot))], slot);
    if (++size_ > heads_.size()) Split();
  }

  // REQUIRES: it is in.
  void Remove(uint32_t slot) {
    uint32_t& last = heads_[BucketOf(slots_.HashOf(slot))];
    uint32_t before = last - 1;
    while (slots_.Next(before) != slot) before = slots_.Next(before);
    if (before == slot) {
      last = 0;
    } else {
      slots_.Next(before) = slots_.Next(slot);
      if (last == slot + 1) last = before + 1;
    }
    --size_;
  }

  size_t size() const { return size_; }
  size_t memory_bytes() const { return heads_.memory_bytes(); }

 private:
  size_t BucketOf(size_t hash) const {
    const size_t buckets = heads_.size();
    const size_t wide = hash & (std::bit_ceil(buckets) - 1);
    return wide < buckets ? wide : wide - std::bit_ceil(buckets) / 2;
  }

  void Append(uint32_t* last, uint32_t slot) {
    if (*last == 0) {
      slots_.Next(slot) = slot;
    } else {
      slots_.Next(slot) = slots_.Next(*last - 1);
      slots_.Next(*last - 1) = slot;
    }
    *last = slot + 1;
  }

  // Adds a bucket and moves over to it what belongs there, from the one bucket that has it.
  void Split() {
    const size_t added = heads_.size();
    heads_.GrowTo(added + 1);
    uint32_t& old = heads_[added - std::bit_ceil(added + 1) / 2];
    const uint32_t last = old;
    if (last == 0) return;
    old = 0;
    for (uint32_t slot = slots_.Next(last - 1);;) {
      const uint32_t next = slots_.Next(slot);
      Append(BucketOf(slots_.HashOf(slot)) == added ? &heads_[added] : &old, slot);
      if (slot == last - 1) return;
      slot = next;
    }
  }

  Slots slots_;
  ChunkedVector<uint32_t> heads_;
  size_t size_ = 0;
};

}  // namespace kvstore

#endif  // KVSERVICE_INDEX_SLOT_TABLE_H_
