// Which block to give up first, for blocks that hang on the blocks before them.
//
// A parent outlives its children: only leaves of the forest are given up. Of these it gives up the
// one that is least worth keeping, by what a ReuseModel has learnt about blocks of its age whose
// conversation was continued as often; a block shared by several conversations is of a kind of its
// own. What becomes of a sample of the blocks is watched, also after they were given up.
// docs/ARCHITECTURE.md says why.
#ifndef KVSERVICE_EVICTION_PREFIX_POLICY_H_
#define KVSERVICE_EVICTION_PREFIX_POLICY_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>

#include "KVService/eviction/age_lists.h"
#include "KVService/eviction/ghost_table.h"
#include "KVService/eviction/recent_rank.h"
#include "KVService/eviction/reuse_model.h"

namespace kvstore {

// An order over slots: small numbers that the owner gives out and reuses, densely. Not thread-safe.
// 16 bytes a slot and about 3.6 MiB; see memory_bytes. Deterministic.
class PrefixPolicy {
 public:
  // Where a block belongs: first in its prompts, behind a slot, or behind one that is not in, or
  // not yet: writers bring a prompt's blocks at once, and a block may come a moment before its
  // parent.
  struct Place {
    bool first = false;
    bool awaited = false;
    std::optional<uint32_t> parent;
  };

  PrefixPolicy();
  PrefixPolicy(const PrefixPolicy&) = delete;
  PrefixPolicy& operator=(const PrefixPolicy&) = delete;

  // Puts in a block that was just written or loaded. `key` tells blocks apart: the same block comes
  // back with the same key; any 64 bits of its identity. A block that is neither first nor behind
  // one that is in is an orphan: it goes before all others, unless Renew or Touch brings its parent
  // first. One whose parent is awaited is treated as the others are until that comes.
  // REQUIRES: `slot` is not in, and is below PolicySlot::kSlots.
  void Insert(uint32_t slot, Place place, uint64_t key);

  // A lookup of a prompt of `asked` full blocks found these leading ones, the first block first.
  // Tell of those that find nothing as well: time is counted in lookups. REQUIRES: all are in.
  void Touch(std::span<const uint32_t> found, size_t asked);

  // It was written again while it was there: as fresh as a new block, and behind its parent now.
  // REQUIRES: it is in; so is `place.parent`, where given.
  void Renew(uint32_t slot, Place place);

  // `key` as given to Insert. Children that stay become orphans. REQUIRES: it is in.
  void Erase(uint32_t slot, uint64_t key);

  bool Contains(uint32_t slot) const {
    return slot < slots_.size() && slots_[slot].state != PolicySlot::kOut;
  }
  size_t size() const { return size_; }

  // The slot to give up first, none of whose children are in; nullopt where all is empty. It stays
  // in until Erase.
  std::optional<uint32_t> Victim();

  // The same for who gives up only some: all slots none of whose children are in, in about the
  // order that Victim would name them, until `visit` returns false; which must change nothing.
  void VisitVictims(absl::FunctionRef<bool(uint32_t slot)> visit) const {
    lists_.Visit(model_, visit);
  }

  size_t memory_bytes() const;

 private:
  uint32_t IdOf(uint32_t slot) const;
  void GiveAlias(uint32_t slot);
  std::optional<uint32_t> ParentOf(const PolicySlot& child) const;
  bool IsOrphan(const PolicySlot& slot) const;
  bool HangsOn(uint32_t slot, uint32_t ancestor) const;
  void Attach(uint32_t slot, Place place);
  void Detach(uint32_t slot);
  void Adopt(uint32_t orphan, Place place);
  void BecomeLeaf(uint32_t slot, bool hottest);
  void GoesOn(uint32_t slot, uint32_t turn, uint32_t gap);
  void Use(uint32_t slot, uint32_t turn);
  bool IsSampled(uint64_t mixed_key) const;
  void LearnSome();

  PolicySlots slots_;
  AgeLists lists_{&slots_};
  ReuseModel model_;
  GhostTable ghosts_;
  // Blocks that were erased before their children, and how many of these are left. A block that
  // gets the slot of one before that is zero goes by an alias, so that it is not taken for their
  // parent.
  std::unordered_map<uint32_t, uint32_t> left_behind_;
  std::unordered_map<uint32_t, uint32_t> alias_of_;  // by slot
  std::unordered_map<uint32_t, uint32_t> slot_of_;   // by alias
  uint32_t next_alias_ = PolicySlot::kSlots;
  size_t size_ = 0;
  uint32_t turn_ = 0;  // of the conversation that was looked up last
  uint32_t gap_ = 0;   // and how long before that was its last turn
  uint32_t news_ = 0;  // how many blocks were new to it, as a quarter of what is usual
  RecentRank news_rank_;
  int sample_shift_ = 0;  // one block in 2^sample_shift_ is watched
  uint32_t learnt_ = 0;   // when; and which kind is next
  int learn_next_ = 0;    // a kind
};

}  // namespace kvstore

#endif  // KVSERVICE_EVICTION_PREFIX_POLICY_H_
