// PrefixIndex: which blocks exist, in RAM, and in which order to give them up. It knows versions,
// hashes and recency; it does no I/O and knows no tokens (store/prefix_walk does the matching).
//
// A block takes 68 bytes of entry, 8 of hash tables, and what the order of eviction takes; a block
// by parent 8 more. All tables grow in small steps: no call pays for the millions that are there.
#ifndef KVSERVICE_INDEX_PREFIX_INDEX_H_
#define KVSERVICE_INDEX_PREFIX_INDEX_H_

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "KVCommon/chunked_vector.h"
#include "KVService/block/block_id.h"
#include "KVService/eviction/prefix_policy.h"
#include "KVService/index/slot_table.h"
#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/functional/function_ref.h"
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

// Thread-safe. No call holds the lock for longer than its own blocks take, but RemoveLeastWorth of
// a container, which may pass a million of others' (some milliseconds).
class PrefixIndex {
 public:
  // Names one stay of a block in the index, from its Insert to its removal. (It could come back for
  // another stay only after 16,384 others in its place.)
  using Handle = uint64_t;

  struct Version {
    uint64_t hash = 0;
    uint64_t parent_hash = 0;
    Handle handle = 0;
    uint32_t footprint_kib = 0;  // of IndexedBlock's footprint, rounded up
  };
  using Versions = absl::InlinedVector<Version, 2>;

  PrefixIndex();

  // A block on its way out, with what its deletion from storage needs.
  struct Removed {
    BlockId id;
    Container container;
    PartitionDigest partition{};
    uint64_t footprint = 0;
    uint64_t parent_hash = 0;
    bool by_parent = false;
  };

  // Adds a block of `container` and `partition`. False: it was there already, and nothing changed.
  bool Insert(const Container& container, const PartitionDigest& partition, const BlockId& id,
              const IndexedBlock& block);

  bool Contains(const BlockId& id) const;

  // nullopt where it is not there.
  std::optional<Handle> HandleOf(const BlockId& id) const;

  // The block before it, where exactly one block of the partition bears its parent's hash.
  std::optional<BlockId> ParentOf(const BlockId& id) const;

  // The versions found by one digest: same tokens, same prefix, other hashes. Oldest first.
  Versions Find(const Space& space, const Digest& digest, uint32_t tokens_crc) const;

  // Find for many at once, whose memory accesses then overlap. `visit` gets the versions of each,
  // in order, until it returns false; it runs under the lock and must not call the index.
  void FindEach(const Space& space, std::span<const BlockDigest> wanted,
                absl::FunctionRef<bool(size_t, const Versions&)> visit) const;

  // How many versions of the partition bear this hash (none bears 0), counted up to 2: from 2 on,
  // a block known only by its parent's hash could follow either.
  int CountBearing(const Space& space, uint64_t hash) const;

  // Whether the partition holds any block that is matched through its parent.
  bool HasBlocksByParent(const Space& space) const;

  // Tells the policy what a Lookup of `asked` blocks found, be it nothing; in the prompt's order,
  // first block first.
  void Touch(std::span<const Handle> found, size_t asked);

  // For a writer that brings a block again: it counts as fresh, and as its parent's child now.
  void Renew(const BlockId& id);

  // Removes a block (only that stay of it, where given) and whatever is matched
  // through its hash: a block by parent must not be found behind a later block that happens to bear
  // its parent's hash. Deepest first, the block itself last; empty where it was not there.
  std::vector<Removed> Remove(const BlockId& id, std::optional<Handle> handle = std::nullopt);

  // Removes the blocks that are least worth keeping until at least `bytes` of footprint are on
  // their way out, or nothing is left.
  std::vector<Removed> RemoveLeastWorth(uint64_t bytes);

  // The same of one container's blocks, `blocks` of them at most. It looks at the coldest million
  // only, so there may be more.
  std::vector<Removed> RemoveLeastWorth(const Container& container, uint64_t bytes, size_t blocks);

  // Removes the blocks that are least worth keeping until at most `blocks` are left. How many it
  // removed.
  size_t ShrinkTo(size_t blocks);

  size_t size() const;

  // Sums of footprints, each rounded up to KiB.
  uint64_t FootprintOf(const Space& space) const;
  uint64_t FootprintOfAccount(std::string_view account) const;      // walks all spaces
  uint64_t FootprintOfContainer(const Container& container) const;  // likewise
  // 0 where it is not there.
  uint64_t FootprintOf(const BlockId& id) const;

  // Of all its tables, as far as they have grown.
  size_t memory_bytes() const;

 private:
  // Kept in 32-bit units, so that it needs no padding.
  struct Entry {
    Digest digest;
    uint32_t tokens_crc;
    uint32_t space;  // number in spaces_
    std::array<uint32_t, 2> hash;
    std::array<uint32_t, 2> parent_hash;
    uint32_t next_version;  // in by_digest_; in the list of free slots
    uint32_t next_bearing;  // in by_hash_
    uint32_t footprint_kib : 17;
    uint32_t by_parent : 1;
    uint32_t generation : 14;  // counts the slot's uses
  };
  static_assert(sizeof(Entry) == 68);
  static uint64_t Wide(const std::array<uint32_t, 2>& halves) {
    uint64_t whole;
    std::memcpy(&whole, halves.data(), sizeof whole);
    return whole;
  }

  struct SpaceInfo {
    Space id{};
    Container container;
    PartitionDigest partition{};
    uint64_t blocks = 0;
    uint64_t blocks_by_parent = 0;
    uint64_t footprint_kib = 0;
  };

  static size_t HashOfDigest(uint32_t space, const Digest& digest);
  static size_t HashOfHash(uint32_t space, uint64_t hash);

  // What the three tables find their slots by.
  struct ByDigest {
    PrefixIndex* index;
    size_t HashOf(uint32_t slot) const;
    uint32_t& Next(uint32_t slot) const;
  };
  struct ByHash {
    PrefixIndex* index;
    size_t HashOf(uint32_t slot) const;
    uint32_t& Next(uint32_t slot) const;
  };
  struct ByParentHash {
    PrefixIndex* index;
    size_t HashOf(uint32_t slot) const;
    uint32_t& Next(uint32_t slot) const;
  };

  uint32_t SpaceNumber(const Container& container, const PartitionDigest& partition,
                       const Space& space) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void LeaveSpace(uint32_t number) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::optional<uint32_t> FindSpace(const Space& space) const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  std::optional<uint32_t> FindSlot(const BlockId& id) const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  Versions VersionsOf(uint32_t space, const Digest& digest, uint32_t tokens_crc) const
      ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  // The first bearers of a hash, two at most.
  absl::InlinedVector<uint32_t, 2> Bearers(uint32_t space, uint64_t hash) const
      ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  std::optional<uint32_t> OnlyBearer(uint32_t space, uint64_t hash) const
      ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  BlockVersion VersionOf(uint32_t slot) const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  Handle HandleOfSlot(uint32_t slot) const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  PrefixPolicy::Place PlaceOf(uint32_t space, uint64_t parent_hash) const
      ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  void AwaitParent(uint32_t slot) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AdoptEarlyChild(uint32_t slot) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint64_t PolicyKey(uint32_t slot) const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  uint32_t TakeSlot() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Link(uint32_t slot) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void FreeSlot(uint32_t slot) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Takes the blocks that hang on the slot's hash out of by_parent_, and appends them.
  void TakeChildren(uint32_t slot, std::vector<uint32_t>* children)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void RemoveSlot(uint32_t slot, std::vector<Removed>* removed)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable absl::Mutex mutex_;
  ChunkedVector<Entry> entries_ ABSL_GUARDED_BY(mutex_);
  ChunkedVector<uint32_t> next_sibling_ ABSL_GUARDED_BY(mutex_);  // in by_parent_
  uint32_t free_slots_ ABSL_GUARDED_BY(mutex_) = 0;               // the first, + 1; 0: none
  SlotTable<ByDigest> by_digest_ ABSL_GUARDED_BY(mutex_);
  SlotTable<ByHash> by_hash_ ABSL_GUARDED_BY(mutex_);
  SlotTable<ByParentHash> by_parent_ ABSL_GUARDED_BY(mutex_);  // of the blocks by parent
  absl::flat_hash_map<Space, uint32_t> space_numbers_ ABSL_GUARDED_BY(mutex_);
  std::vector<SpaceInfo> spaces_ ABSL_GUARDED_BY(mutex_);
  std::vector<uint32_t> free_spaces_ ABSL_GUARDED_BY(mutex_);
  PrefixPolicy policy_ ABSL_GUARDED_BY(mutex_);

  // The last blocks that came before their parents, as a writer that brings a prompt's blocks at
  // once may have it, and the last that were removed: what comes behind one of these comes too
  // late, not early. Each in its place by the hash of space and awaited, or removed, hash.
  static constexpr size_t kRemembered = 4096;
  struct Early {
    size_t parent = 0;
    Handle child = 0;
  };
  std::vector<Early> early_ ABSL_GUARDED_BY(mutex_) = std::vector<Early>(kRemembered);
  std::vector<size_t> gone_ ABSL_GUARDED_BY(mutex_) = std::vector<size_t>(kRemembered);
};

}  // namespace kvstore

#endif  // KVSERVICE_INDEX_PREFIX_INDEX_H_
