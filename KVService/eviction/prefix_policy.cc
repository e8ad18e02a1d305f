#include "KVService/eviction/prefix_policy.h"

#include <algorithm>

#include "KVCommon/status_macros.h"

namespace kvstore {
namespace {

// Many, since a ghost also tells that a conversation goes on whose blocks are gone.
constexpr size_t kGhosts = 262'144;
// The ghosts remember blocks for so many lives of the cache: reuse that comes later than a block
// could be kept is of no use.
constexpr size_t kRememberedLives = 8;
constexpr uint32_t kMost = PolicySlot::kMost;
constexpr uint32_t kLearnEvery = 8;      // lookups
constexpr uint32_t kForgetEvery = 2048;  // lookups
constexpr uint32_t kAliasEnd = PolicySlot::kMax - 1'000'000;

// SplitMix64's finaliser: keys need not be spread well.
uint64_t Mix(uint64_t x) {
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

}  // namespace

PrefixPolicy::PrefixPolicy() : ghosts_(kGhosts) {}

// ---- the forest

uint32_t PrefixPolicy::IdOf(uint32_t slot) const {
  if (alias_of_.empty()) return slot;
  const auto alias = alias_of_.find(slot);
  return alias == alias_of_.end() ? slot : alias->second;
}

void PrefixPolicy::GiveAlias(uint32_t slot) {
  do {
    if (++next_alias_ >= kAliasEnd) next_alias_ = PolicySlot::kSlots;
  } while (left_behind_.contains(next_alias_) || slot_of_.contains(next_alias_));
  alias_of_[slot] = next_alias_;
  slot_of_[next_alias_] = slot;
}

std::optional<uint32_t> PrefixPolicy::ParentOf(const PolicySlot& child) const {
  if (child.parent >= PolicySlot::kAwaited) return std::nullopt;
  if (!left_behind_.empty() && left_behind_.contains(child.parent)) return std::nullopt;
  if (child.parent < PolicySlot::kSlots) return child.parent;
  return slot_of_.at(child.parent);
}

bool PrefixPolicy::IsOrphan(const PolicySlot& slot) const {
  if (slot.parent < PolicySlot::kAwaited && left_behind_.empty()) return false;  // nearly always
  return slot.parent != PolicySlot::kFirst && !ParentOf(slot);
}

bool PrefixPolicy::HangsOn(uint32_t slot, uint32_t ancestor) const {
  while (slot != ancestor) {
    if (slots_[slot].parent == PolicySlot::kFirst || IsOrphan(slots_[slot])) return false;
    slot = *ParentOf(slots_[slot]);
  }
  return true;
}

void PrefixPolicy::Attach(uint32_t slot, Place place) {
  PolicySlot& it = slots_[slot];
  it.parent = place.first     ? PolicySlot::kFirst
              : place.awaited ? PolicySlot::kAwaited
                              : PolicySlot::kMissing;
  if (place.first || !place.parent) return;
  PolicySlot& parent = slots_[*place.parent];
  if (parent.state != PolicySlot::kInner) {
    lists_.Remove(*place.parent);
    parent.state = PolicySlot::kInner;
    parent.hotter = 0;
  }
  ++parent.hotter;
  it.parent = IdOf(*place.parent);
}

void PrefixPolicy::Detach(uint32_t slot) {
  const PolicySlot& it = slots_[slot];
  if (const std::optional<uint32_t> parent = ParentOf(it)) {
    if (--slots_[*parent].hotter == 0) BecomeLeaf(*parent, /*hottest=*/false);
  } else if (const auto left = left_behind_.find(it.parent); left != left_behind_.end()) {
    if (--left->second == 0) left_behind_.erase(left);
  }
  slots_[slot].parent = PolicySlot::kMissing;
}

void PrefixPolicy::BecomeLeaf(uint32_t slot, bool hottest) {
  PolicySlot& it = slots_[slot];
  if (it.parent != PolicySlot::kAwaited && IsOrphan(it)) {
    it.state = PolicySlot::kOrphanLeaf;
    lists_.PushOrphan(slot);
    return;
  }
  it.state = PolicySlot::kLeaf;
  // A parent whose last child went is as cold as that was: it goes next, where they are alike.
  if (hottest) {
    lists_.PushHottest(slot);
  } else {
    lists_.PushColdest(slot);
  }
}

void PrefixPolicy::Adopt(uint32_t slot, Place place) {
  const PolicySlot& it = slots_[slot];
  if (!IsOrphan(it) || (!place.first && !place.parent)) return;
  // Not where the parent hangs on the block itself: callers' hashes may run in a circle.
  if (!place.first && HangsOn(*place.parent, slot)) return;
  const bool leaf = it.state != PolicySlot::kInner;
  if (leaf) lists_.Remove(slot);
  Detach(slot);
  Attach(slot, place);
  if (leaf) BecomeLeaf(slot, /*hottest=*/true);
}

// ---- what happens to blocks

void PrefixPolicy::Insert(uint32_t slot, Place place, uint64_t key) {
  KV_CHECK(!Contains(slot) && slot < PolicySlot::kSlots);
  slots_.GrowTo(size_t{slot} + 1);
  ++size_;
  while ((ghosts_.capacity() << sample_shift_) < kRememberedLives * size_) ++sample_shift_;
  if (place.parent && (*place.parent == slot || !Contains(*place.parent))) place.parent.reset();

  if (left_behind_.contains(slot)) GiveAlias(slot);
  PolicySlot& it = slots_[slot];
  Attach(slot, place);
  it.time = lists_.now() & PolicySlot::kTimeMask;
  it.reuse = 0;
  it.shared = 0;
  it.turn = turn_;
  it.gap = gap_;
  it.news = news_;
  const uint64_t mixed = Mix(key);
  it.watched = IsSampled(mixed);
  if (it.watched) {
    if (const std::optional<Ghost> ghost = ghosts_.Take(mixed)) {
      // It was needed again: it counts as found, though it was gone.
      const uint32_t age = lists_.now() - ghost->time;
      lists_.Watch(ghost->block_class, age, -1);
      model_.Record(ghost->block_class, age, /*reused=*/true);
      GoesOn(slot, std::min(ghost->turn + 1u, kMost), ReuseModel::GapOf(age));
    }
    lists_.Watch(it.Class(), 0, 1);
  }
  BecomeLeaf(slot, /*hottest=*/true);
}

// What was given up is wanted again: its conversation goes on, which the blocks behind it belong to
// and those that were put in just before it.
void PrefixPolicy::GoesOn(uint32_t slot, uint32_t turn, uint32_t gap) {
  if (turn <= turn_) return;
  turn_ = turn;
  gap_ = gap;
  slots_[slot].turn = turn;
  slots_[slot].gap = gap;
  for (std::optional<uint32_t> at = ParentOf(slots_[slot]); at; at = ParentOf(slots_[*at])) {
    PolicySlot& it = slots_[*at];
    if (lists_.AgeOf(it) > 0 || it.reuse > 0 || it.turn >= turn) return;
    if (it.watched) lists_.Watch(it.Class(), 0, -1);
    it.turn = turn;
    it.gap = gap;
    if (it.watched) lists_.Watch(it.Class(), 0, 1);
  }
}

void PrefixPolicy::Touch(std::span<const uint32_t> found, size_t asked) {
  lists_.Advance();
  model_.NextLookup();
  if (lists_.now() % kForgetEvery == 0) model_.Forget();
  turn_ = gap_ = 0;
  news_ = news_rank_.QuarterOf(asked - std::min(asked, found.size()));
  if (found.empty()) return;
  for (const uint32_t slot : found) KV_CHECK(Contains(slot));
  // The last block found says what this is. Where a conversation ended it goes on; where several
  // part, and at a block that was found by others than those, something new begins.
  const PolicySlot& last = slots_[found.back()];
  const uint32_t children = last.state == PolicySlot::kInner ? last.hotter : 0;
  if (!last.shared && children <= 1) {
    turn_ = std::min<uint32_t>(last.turn + 1, kMost);
    gap_ = ReuseModel::GapOf(lists_.AgeOf(last));
  }
  for (size_t i = found.size(); i > 0; --i) {
    if (i > 1) Adopt(found[i - 1], {.parent = found[i - 2]});
    Use(found[i - 1], turn_);
  }
}

void PrefixPolicy::Use(uint32_t slot, uint32_t turn) {
  PolicySlot& it = slots_[slot];
  const bool leaf = it.state != PolicySlot::kInner;
  if (leaf) lists_.Remove(slot);
  const uint32_t age = lists_.AgeOf(it);
  if (it.watched) {
    const int block_class = it.Class();
    lists_.Watch(block_class, age, -1);
    model_.Record(block_class, age, /*reused=*/true);
  }
  it.time = lists_.now() & PolicySlot::kTimeMask;
  if (it.reuse < kMost) ++it.reuse;
  if (it.reuse > turn) it.shared = 1;
  it.turn = turn;
  it.news = news_;
  it.gap = it.shared || turn == 0 ? ReuseModel::GapOf(age) : gap_;
  if (it.watched) lists_.Watch(it.Class(), 0, 1);
  if (leaf) BecomeLeaf(slot, /*hottest=*/true);
}

void PrefixPolicy::Renew(uint32_t slot, Place place) {
  KV_CHECK(Contains(slot));
  if (place.parent) KV_CHECK(Contains(*place.parent));
  Adopt(slot, place);
  PolicySlot& it = slots_[slot];
  const bool leaf = it.state != PolicySlot::kInner;
  if (leaf) lists_.Remove(slot);
  if (it.watched) {
    lists_.Watch(it.Class(), lists_.AgeOf(it), -1);
    lists_.Watch(it.Class(), 0, 1);
  }
  it.time = lists_.now() & PolicySlot::kTimeMask;
  if (leaf) BecomeLeaf(slot, /*hottest=*/true);
}

void PrefixPolicy::Erase(uint32_t slot, uint64_t key) {
  KV_CHECK(Contains(slot));
  PolicySlot& it = slots_[slot];
  if (it.state == PolicySlot::kInner) {
    left_behind_[IdOf(slot)] = it.hotter;
  } else {
    lists_.Remove(slot);
  }
  if (it.watched) {
    // Watched on as a ghost; which may make another one's watch end.
    const uint32_t time = lists_.now() - lists_.AgeOf(it);
    if (const auto gone = ghosts_.Add(Mix(key), time, static_cast<uint8_t>(it.Class()),
                                      static_cast<uint8_t>(it.shared ? it.reuse : it.turn))) {
      const uint32_t age = lists_.now() - gone->time;
      lists_.Watch(gone->block_class, age, -1);
      model_.Record(gone->block_class, age, /*reused=*/false);
    }
  }
  if (const auto alias = alias_of_.find(slot); alias != alias_of_.end()) {
    slot_of_.erase(alias->second);
    alias_of_.erase(alias);
  }
  it.state = PolicySlot::kOut;
  --size_;
  Detach(slot);
}

std::optional<uint32_t> PrefixPolicy::Victim() {
  LearnSome();
  const uint32_t orphan = lists_.OldestOrphan();
  if (orphan != AgeLists::kNone) return orphan;
  const uint32_t slot = lists_.Coldest(model_);
  if (slot != AgeLists::kNone) return slot;
  return std::nullopt;
}

// ---- learning

bool PrefixPolicy::IsSampled(uint64_t mixed_key) const {
  return ((mixed_key >> 20) & ((uint64_t{1} << sample_shift_) - 1)) == 0;
}

// Where blocks are given up and not where they are found: what is learnt has no other use, and
// takes tens of microseconds.
void PrefixPolicy::LearnSome() {
  if (lists_.now() - learnt_ < kLearnEvery) return;
  learnt_ = lists_.now();
  ReuseModel::Watched watched;
  lists_.CountWatched(&watched);
  model_.Learn(learn_next_, watched);
  learn_next_ = (learn_next_ + 1) % ReuseModel::kKinds;
}

size_t PrefixPolicy::memory_bytes() const {
  return sizeof(*this) + slots_.memory_bytes() + ghosts_.capacity() * sizeof(Ghost);
}

}  // namespace kvstore
