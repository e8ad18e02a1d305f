// PrefixIndex: which blocks exist, in RAM, and in which order to give them up. It knows versions,
// hashes and recency; it does no I/O and knows no tokens (store/prefix_walk does the matching).
#ifndef KVSERVICE_INDEX_PREFIX_INDEX_H_
#define KVSERVICE_INDEX_PREFIX_INDEX_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "KVService/block/block_id.h"
#include "KVService/eviction/prefix_lru.h"
#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/container/inlined_vector.h"
#include "absl/synchronization/mutex.h"

namespace kvstore {

// What the index keeps of a block, beside its identity.
struct IndexedBlock {
  uint64_t parent_hash = 0;
  uint64_t footprint = 0;  // bytes that evicting it gives back
  // Whether the block's prefix is known only as its parent's hash (no prefix digest, not a first
  // block): it is matched through its parent, and does not outlive it.
  bool by_parent = false;
};

// Thread-safe. No call holds the lock for longer than its own blocks take.
class PrefixIndex {
 public:
  struct Version {
    uint64_t hash = 0;
    uint64_t parent_hash = 0;
  };
  using Versions = absl::InlinedVector<Version, 2>;

  // A block on its way out, with what its deletion from storage needs.
  struct Removed {
    BlockId id;
    Container container;
    PartitionDigest partition{};
    uint64_t footprint = 0;
  };

  // Adds a block of `container` and `partition`. It enters the order of recency right behind its
  // parent. False: it was there already, and nothing changed.
  bool Insert(const Container& container, const PartitionDigest& partition, const BlockId& id,
              const IndexedBlock& block);

  bool Contains(const BlockId& id) const;

  // A number that a block has from its Insert until it is removed, and no other block ever;
  // nullopt where it is not there.
  std::optional<uint64_t> GenerationOf(const BlockId& id) const;

  // The block before it, where exactly one block of the partition bears its parent's hash.
  std::optional<BlockId> ParentOf(const BlockId& id) const;

  // The versions found by one digest: same tokens, same prefix, other hashes. Oldest first.
  Versions Find(const Space& space, const Digest& digest, uint32_t tokens_crc) const;

  // How many versions of the partition bear this hash, counted up to 2: from 2 on, a block known
  // only by its parent's hash could follow either.
  int CountBearing(const Space& space, uint64_t hash) const;

  // Whether the partition holds any block that is matched through its parent.
  bool HasBlocksByParent(const Space& space) const;

  // Marks a prompt's blocks as just used; in its order, first block first.
  void Touch(std::span<const BlockId> prompt);

  // Gives a block the recency that it would have if it were inserted now: right behind its parent.
  // For a writer that brings it again.
  void Renew(const BlockId& id);

  // Removes a block (only the one of that generation, where given) and whatever is matched
  // through its hash: a block by parent must not be found behind a later block that happens to bear
  // its parent's hash. Deepest first, the block itself last; empty where it was not there.
  std::vector<Removed> Remove(const BlockId& id, std::optional<uint64_t> generation = std::nullopt);

  // Removes the coldest blocks until at least `bytes` of footprint are on their way out, or
  // nothing is left.
  std::vector<Removed> RemoveColdest(uint64_t bytes);

  // Removes the coldest blocks until at most `blocks` are left. How many it removed.
  size_t ShrinkTo(size_t blocks);

  size_t size() const;

 private:
  static constexpr uint32_t kNone = UINT32_MAX;

  struct Entry {
    BlockVersion version;
    uint32_t space = kNone;  // number in spaces_; kNone marks a free slot
    uint64_t parent_hash = 0;
    uint64_t generation : 63 = 0;
    uint64_t by_parent : 1 = 0;
    uint32_t footprint_kib = 0;
    uint32_t next_version = kNone;  // same space and digest
    uint32_t next_bearing = kNone;  // same space and hash
  };

  struct SpaceInfo {
    Space id{};
    Container container;
    PartitionDigest partition{};
    // The blocks by parent, by the hash that they hang on.
    absl::flat_hash_map<uint64_t, absl::InlinedVector<uint32_t, 2>> by_parent;
  };

  // The two tables hold slot numbers only; a key is read from its entry.
  struct DigestKey {
    uint32_t space;
    const Digest* digest;
    uint32_t tokens_crc;
  };
  struct HashKey {
    uint32_t space;
    uint64_t hash;
  };
  struct DigestTraits {
    using is_transparent = void;
    const std::vector<Entry>* entries;
    DigestKey KeyOf(uint32_t slot) const;
    DigestKey KeyOf(const DigestKey& key) const { return key; }
    template <typename A>
    size_t operator()(const A& a) const;
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const;
  };
  struct HashTraits {
    using is_transparent = void;
    const std::vector<Entry>* entries;
    HashKey KeyOf(uint32_t slot) const;
    HashKey KeyOf(const HashKey& key) const { return key; }
    template <typename A>
    size_t operator()(const A& a) const;
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const;
  };
  template <typename Traits>
  using SlotSet = absl::flat_hash_set<uint32_t, Traits, Traits>;

  uint32_t SpaceNumber(const Container& container, const PartitionDigest& partition,
                       const Space& space) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::optional<uint32_t> FindSpace(const Space& space) const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  std::optional<uint32_t> FindSlot(const BlockId& id) const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  std::optional<uint32_t> OnlyBearer(uint32_t space, uint64_t hash) const
      ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  uint32_t TakeSlot() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void RemoveSlot(uint32_t slot, std::vector<Removed>* removed)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void UnlinkVersion(uint32_t slot) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void UnlinkBearing(uint32_t slot) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable absl::Mutex mutex_;
  std::vector<Entry> entries_ ABSL_GUARDED_BY(mutex_);
  std::vector<uint32_t> free_slots_ ABSL_GUARDED_BY(mutex_);
  SlotSet<DigestTraits> by_digest_ ABSL_GUARDED_BY(mutex_){0, DigestTraits{&entries_},
                                                           DigestTraits{&entries_}};
  SlotSet<HashTraits> by_hash_ ABSL_GUARDED_BY(mutex_){0, HashTraits{&entries_},
                                                       HashTraits{&entries_}};
  absl::flat_hash_map<Space, uint32_t> space_numbers_ ABSL_GUARDED_BY(mutex_);
  std::vector<SpaceInfo> spaces_ ABSL_GUARDED_BY(mutex_);
  PrefixLru recency_ ABSL_GUARDED_BY(mutex_);
  uint64_t generation_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t size_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace kvstore

#endif  // KVSERVICE_INDEX_PREFIX_INDEX_H_
