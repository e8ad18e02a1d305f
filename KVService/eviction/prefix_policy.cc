#include "KVService/eviction/prefix_policy.h"

#include <algorithm>

#include "KVCommon/status_macros.h"

namespace kvstore {
namespace {

constexpr size_t kGhosts = 16384;
// The ghosts remember blocks for so many lives of the cache: reuse that comes later than a block
// could be kept is of no use.
constexpr size_t kRememberedLives = 16;
constexpr uint32_t kMost = 3;        // what 2 bits hold
constexpr uint32_t kLearnEvery = 4;  // lookups

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

bool PrefixPolicy::IsChildOf(const PolicySlot& child, uint32_t parent) const {
  return child.parent == parent && Contains(parent) &&
         child.parent_generation == slots_[parent].generation;
}

bool PrefixPolicy::IsOrphan(const PolicySlot& slot) const {
  return slot.parent != PolicySlot::kFirst && !IsChildOf(slot, slot.parent);
}

bool PrefixPolicy::HangsOn(uint32_t slot, uint32_t ancestor) const {
  while (slot != ancestor) {
    if (slots_[slot].parent == PolicySlot::kFirst || IsOrphan(slots_[slot])) return false;
    slot = slots_[slot].parent;
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
  it.parent = *place.parent;
  it.parent_generation = parent.generation;
}

void PrefixPolicy::Detach(uint32_t slot) {
  const PolicySlot& it = slots_[slot];
  const uint32_t parent = it.parent;
  if (IsChildOf(it, parent)) {
    if (--slots_[parent].hotter == 0) BecomeLeaf(parent, /*hottest=*/false);
  } else if (const auto left = left_behind_.find(parent); left != left_behind_.end()) {
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

void PrefixPolicy::OrphanChildren(uint32_t slot) {
  PolicySlot& it = slots_[slot];
  if (left_behind_.contains(slot)) {
    // Twice, and children of the first time are left: one bit cannot tell three blocks apart. It
    // takes two removals from under children within their lives, so it may take long.
    for (size_t i = 0; i < slots_.size(); ++i) {
      if (slots_[i].parent == slot && slots_[i].parent_generation != it.generation) {
        slots_[i].parent = PolicySlot::kMissing;
      }
    }
  }
  left_behind_[slot] = it.hotter;
  it.generation ^= 1;
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
  KV_CHECK(!Contains(slot));
  slots_.GrowTo(size_t{slot} + 1);
  ++size_;
  while ((ghosts_.capacity() << sample_shift_) < kRememberedLives * size_) ++sample_shift_;
  if (place.parent && (*place.parent == slot || !Contains(*place.parent))) place.parent.reset();

  PolicySlot& it = slots_[slot];
  Attach(slot, place);
  it.time = lists_.now() & PolicySlot::kTimeMask;
  it.reuse = 0;
  it.turn = place.parent ? slots_[*place.parent].turn : turn_;
  const uint64_t mixed = Mix(key);
  it.watched = IsSampled(mixed);
  if (it.watched) {
    if (const std::optional<Ghost> ghost = ghosts_.Take(mixed)) {
      // It was needed again: it counts as found, though it was gone.
      const uint32_t age = lists_.now() - ghost->time;
      lists_.Watch(ghost->block_class, age, -1);
      model_.Record(ghost->block_class, age, /*reused=*/true);
      const uint32_t turn = ghost->block_class % ReuseModel::kGrades + 1;
      it.turn = std::max<uint32_t>(it.turn, std::min(turn, kMost));
    }
    lists_.Watch(it.Class(), 0, 1);
  }
  BecomeLeaf(slot, /*hottest=*/true);
}

void PrefixPolicy::Touch(std::span<const uint32_t> found) {
  lists_.Advance();
  LearnSome();
  turn_ = 0;
  if (found.empty()) return;
  for (const uint32_t slot : found) KV_CHECK(Contains(slot));
  // The last block found says what this is. Where few have found it before, a conversation goes on;
  // where many have, it is the end of what they share, and something new begins.
  const PolicySlot& last = slots_[found.back()];
  if (last.reuse <= 1) turn_ = std::min<uint32_t>(last.turn + 1, kMost);
  for (size_t i = found.size(); i > 0; --i) {
    if (i > 1) Adopt(found[i - 1], {.parent = found[i - 2]});
    Use(found[i - 1], turn_);
  }
}

void PrefixPolicy::Use(uint32_t slot, uint32_t turn) {
  PolicySlot& it = slots_[slot];
  const bool leaf = it.state != PolicySlot::kInner;
  if (leaf) lists_.Remove(slot);
  if (it.watched) {
    const uint32_t age = lists_.AgeOf(it);
    lists_.Watch(it.Class(), age, -1);
    model_.Record(it.Class(), age, /*reused=*/true);
  }
  it.time = lists_.now() & PolicySlot::kTimeMask;
  it.turn = turn;
  if (it.reuse < kMost) ++it.reuse;
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
    OrphanChildren(slot);
  } else {
    lists_.Remove(slot);
  }
  if (it.watched) {
    // Watched on as a ghost; which may make another one's watch end.
    const uint32_t time = lists_.now() - lists_.AgeOf(it);
    if (const auto gone = ghosts_.Add(Mix(key), time, static_cast<uint8_t>(it.Class()))) {
      const uint32_t age = lists_.now() - gone->time;
      lists_.Watch(gone->block_class, age, -1);
      model_.Record(gone->block_class, age, /*reused=*/false);
    }
  }
  it.state = PolicySlot::kOut;
  --size_;
  Detach(slot);
}

std::optional<uint32_t> PrefixPolicy::Victim() const {
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

void PrefixPolicy::LearnSome() {
  if (lists_.now() % kLearnEvery != 0) return;
  ReuseModel::Watched watched;
  lists_.CountWatched(&watched);
  model_.Learn(learn_next_, watched);
  learn_next_ = (learn_next_ + 1) % ReuseModel::kClasses;
}

size_t PrefixPolicy::memory_bytes() const {
  return sizeof(*this) + slots_.memory_bytes() + ghosts_.capacity() * sizeof(Ghost);
}

}  // namespace kvstore
