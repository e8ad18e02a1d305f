#include "KVService/index/prefix_index.h"

#include <algorithm>

#include "KVCommon/status_macros.h"
#include "absl/hash/hash.h"

namespace kvstore {
namespace {

// How many blocks ShrinkTo removes before it lets others have the lock.
constexpr size_t kShrinkStep = 256;
constexpr uint64_t kMaxFootprintKib = (1 << 17) - 1;

std::array<uint32_t, 2> Halves(uint64_t whole) {
  std::array<uint32_t, 2> halves;
  std::memcpy(halves.data(), &whole, sizeof whole);
  return halves;
}

}  // namespace

// ---- the keys of the tables

size_t PrefixIndex::HashOfDigest(uint32_t space, const Digest& digest) {
  uint64_t bytes;  // uniform as they are
  std::memcpy(&bytes, digest.data(), sizeof bytes);
  return bytes ^ space * 0x9E3779B97F4A7C15;
}

size_t PrefixIndex::HashOfHash(uint32_t space, uint64_t hash) { return absl::HashOf(hash, space); }

size_t PrefixIndex::ByDigest::HashOf(uint32_t slot) const ABSL_NO_THREAD_SAFETY_ANALYSIS {
  const Entry& entry = index->entries_[slot];
  return HashOfDigest(entry.space, entry.digest);
}
uint32_t& PrefixIndex::ByDigest::Next(uint32_t slot) const ABSL_NO_THREAD_SAFETY_ANALYSIS {
  return index->entries_[slot].next_version;
}
size_t PrefixIndex::ByHash::HashOf(uint32_t slot) const ABSL_NO_THREAD_SAFETY_ANALYSIS {
  const Entry& entry = index->entries_[slot];
  return HashOfHash(entry.space, Wide(entry.hash));
}
uint32_t& PrefixIndex::ByHash::Next(uint32_t slot) const ABSL_NO_THREAD_SAFETY_ANALYSIS {
  return index->entries_[slot].next_bearing;
}
size_t PrefixIndex::ByParentHash::HashOf(uint32_t slot) const ABSL_NO_THREAD_SAFETY_ANALYSIS {
  const Entry& entry = index->entries_[slot];
  return HashOfHash(entry.space, Wide(entry.parent_hash));
}
uint32_t& PrefixIndex::ByParentHash::Next(uint32_t slot) const ABSL_NO_THREAD_SAFETY_ANALYSIS {
  return index->next_sibling_[slot];
}

PrefixIndex::PrefixIndex()
    : by_digest_(ByDigest{this}), by_hash_(ByHash{this}), by_parent_(ByParentHash{this}) {}

// ---- finding

std::optional<uint32_t> PrefixIndex::FindSpace(const Space& space) const {
  const auto it = space_numbers_.find(space);
  if (it == space_numbers_.end()) return std::nullopt;
  return it->second;
}

std::optional<uint32_t> PrefixIndex::FindSlot(const BlockId& id) const {
  const std::optional<uint32_t> space = FindSpace(id.space);
  if (!space) return std::nullopt;
  std::optional<uint32_t> found;
  by_digest_.ForEach(HashOfDigest(*space, id.version.digest),
                     [&](uint32_t slot) ABSL_NO_THREAD_SAFETY_ANALYSIS {
                       if (entries_[slot].space == *space && VersionOf(slot) == id.version) {
                         found = slot;
                       }
                       return !found;
                     });
  return found;
}

BlockVersion PrefixIndex::VersionOf(uint32_t slot) const {
  const Entry& entry = entries_[slot];
  return {entry.digest, entry.tokens_crc, Wide(entry.hash)};
}

PrefixIndex::Handle PrefixIndex::HandleOfSlot(uint32_t slot) const {
  return uint64_t{entries_[slot].generation} << 32 | slot;
}

absl::InlinedVector<uint32_t, 2> PrefixIndex::Bearers(uint32_t space, uint64_t hash) const {
  absl::InlinedVector<uint32_t, 2> bearers;
  if (hash == 0) return bearers;  // "no parent"
  by_hash_.ForEach(HashOfHash(space, hash), [&](uint32_t slot) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    const Entry& entry = entries_[slot];
    if (entry.space == space && Wide(entry.hash) == hash) bearers.push_back(slot);
    return bearers.size() < 2;
  });
  return bearers;
}

std::optional<uint32_t> PrefixIndex::OnlyBearer(uint32_t space, uint64_t hash) const {
  const auto bearers = Bearers(space, hash);
  if (bearers.size() != 1) return std::nullopt;
  return bearers[0];
}

bool PrefixIndex::Contains(const BlockId& id) const {
  absl::ReaderMutexLock lock(&mutex_);
  return FindSlot(id).has_value();
}

std::optional<PrefixIndex::Handle> PrefixIndex::HandleOf(const BlockId& id) const {
  absl::ReaderMutexLock lock(&mutex_);
  const std::optional<uint32_t> slot = FindSlot(id);
  if (!slot) return std::nullopt;
  return HandleOfSlot(*slot);
}

std::optional<BlockId> PrefixIndex::ParentOf(const BlockId& id) const {
  absl::ReaderMutexLock lock(&mutex_);
  const std::optional<uint32_t> slot = FindSlot(id);
  if (!slot) return std::nullopt;
  const std::optional<uint32_t> parent =
      OnlyBearer(entries_[*slot].space, Wide(entries_[*slot].parent_hash));
  if (!parent) return std::nullopt;
  return BlockId{id.space, VersionOf(*parent)};
}

PrefixIndex::Versions PrefixIndex::VersionsOf(uint32_t space, const Digest& digest,
                                              uint32_t tokens_crc) const {
  Versions versions;
  by_digest_.ForEach(
      HashOfDigest(space, digest), [&](uint32_t slot) ABSL_NO_THREAD_SAFETY_ANALYSIS {
        const Entry& entry = entries_[slot];
        if (entry.space == space && entry.tokens_crc == tokens_crc && entry.digest == digest) {
          versions.push_back(
              {Wide(entry.hash), Wide(entry.parent_hash), HandleOfSlot(slot), entry.footprint_kib});
        }
        return true;
      });
  return versions;
}

PrefixIndex::Versions PrefixIndex::Find(const Space& space, const Digest& digest,
                                        uint32_t tokens_crc) const {
  absl::ReaderMutexLock lock(&mutex_);
  const std::optional<uint32_t> number = FindSpace(space);
  if (!number) return {};
  return VersionsOf(*number, digest, tokens_crc);
}

void PrefixIndex::FindEach(const Space& space, std::span<const BlockDigest> wanted,
                           absl::FunctionRef<bool(size_t, const Versions&)> visit) const {
  absl::ReaderMutexLock lock(&mutex_);
  const std::optional<uint32_t> number = FindSpace(space);
  if (number) {
    for (const BlockDigest& each : wanted) {
      by_digest_.PrefetchBucket(HashOfDigest(*number, each.digest));
    }
    for (const BlockDigest& each : wanted) {
      const auto slot = by_digest_.LastOfBucket(HashOfDigest(*number, each.digest));
      if (slot) entries_.Prefetch(*slot);
    }
    for (const BlockDigest& each : wanted) {
      const auto slot = by_digest_.LastOfBucket(HashOfDigest(*number, each.digest));
      if (slot) entries_.Prefetch(entries_[*slot].next_version);  // the first of the bucket
    }
  }
  for (size_t i = 0; i < wanted.size(); ++i) {
    const Versions versions =
        number ? VersionsOf(*number, wanted[i].digest, wanted[i].tokens_crc) : Versions();
    if (!visit(i, versions)) return;
  }
}

int PrefixIndex::CountBearing(const Space& space, uint64_t hash) const {
  absl::ReaderMutexLock lock(&mutex_);
  const std::optional<uint32_t> number = FindSpace(space);
  return number ? static_cast<int>(Bearers(*number, hash).size()) : 0;
}

bool PrefixIndex::HasBlocksByParent(const Space& space) const {
  absl::ReaderMutexLock lock(&mutex_);
  const std::optional<uint32_t> number = FindSpace(space);
  return number && spaces_[*number].blocks_by_parent > 0;
}

uint64_t PrefixIndex::FootprintOf(const Space& space) const {
  absl::ReaderMutexLock lock(&mutex_);
  const std::optional<uint32_t> number = FindSpace(space);
  return number ? spaces_[*number].footprint_kib * 1024 : 0;
}

uint64_t PrefixIndex::FootprintOfAccount(std::string_view account) const {
  absl::ReaderMutexLock lock(&mutex_);
  uint64_t kib = 0;
  for (const SpaceInfo& space : spaces_) {
    if (space.container.account == account) kib += space.footprint_kib;
  }
  return kib * 1024;
}

uint64_t PrefixIndex::FootprintOfContainer(const Container& container) const {
  absl::ReaderMutexLock lock(&mutex_);
  uint64_t kib = 0;
  for (const SpaceInfo& space : spaces_) {
    if (space.container == container) kib += space.footprint_kib;
  }
  return kib * 1024;
}

uint64_t PrefixIndex::FootprintOf(const BlockId& id) const {
  absl::ReaderMutexLock lock(&mutex_);
  const std::optional<uint32_t> slot = FindSlot(id);
  return slot ? uint64_t{entries_[*slot].footprint_kib} * 1024 : 0;
}

size_t PrefixIndex::size() const {
  absl::ReaderMutexLock lock(&mutex_);
  return by_digest_.size();
}

size_t PrefixIndex::memory_bytes() const {
  absl::ReaderMutexLock lock(&mutex_);
  return entries_.memory_bytes() + next_sibling_.memory_bytes() + by_digest_.memory_bytes() +
         by_hash_.memory_bytes() + by_parent_.memory_bytes() + policy_.memory_bytes() +
         spaces_.capacity() * sizeof(SpaceInfo) +
         space_numbers_.capacity() * (sizeof(Space) + sizeof(uint32_t) + 1);
}

// ---- changing

uint32_t PrefixIndex::SpaceNumber(const Container& container, const PartitionDigest& partition,
                                  const Space& space) {
  const auto [it, added] = space_numbers_.try_emplace(space, spaces_.size());
  if (!added) return it->second;
  if (free_spaces_.empty()) {
    spaces_.emplace_back();
  } else {
    it->second = free_spaces_.back();
    free_spaces_.pop_back();
  }
  spaces_[it->second] = {space, container, partition};
  return it->second;
}

void PrefixIndex::LeaveSpace(uint32_t number) {
  SpaceInfo& space = spaces_[number];
  if (--space.blocks > 0) return;
  space_numbers_.erase(space.id);
  space = {};
  free_spaces_.push_back(number);
}

uint32_t PrefixIndex::TakeSlot() {
  if (free_slots_ != 0) {
    const uint32_t slot = free_slots_ - 1;
    free_slots_ = entries_[slot].next_version;
    return slot;
  }
  const size_t slot = entries_.size();
  KV_CHECK(slot < UINT32_MAX - 2);
  entries_.GrowTo(slot + 1);
  return static_cast<uint32_t>(slot);
}

void PrefixIndex::FreeSlot(uint32_t slot) {
  Entry& entry = entries_[slot];
  ++entry.generation;
  entry.next_version = free_slots_;
  free_slots_ = slot + 1;
}

void PrefixIndex::Link(uint32_t slot) {
  by_digest_.Insert(slot);
  if (Wide(entries_[slot].hash) != 0) by_hash_.Insert(slot);
  if (entries_[slot].by_parent) {
    next_sibling_.GrowTo(slot + 1);
    by_parent_.Insert(slot);
    ++spaces_[entries_[slot].space].blocks_by_parent;
  }
  spaces_[entries_[slot].space].footprint_kib += entries_[slot].footprint_kib;
}

bool PrefixIndex::Insert(const Container& container, const PartitionDigest& partition,
                         const BlockId& id, const IndexedBlock& block) {
  absl::MutexLock lock(&mutex_);
  if (FindSlot(id)) return false;
  const uint32_t space = SpaceNumber(container, partition, id.space);
  ++spaces_[space].blocks;
  const uint32_t slot = TakeSlot();
  Entry& entry = entries_[slot];
  entry.digest = id.version.digest;
  entry.tokens_crc = id.version.tokens_crc;
  entry.space = space;
  entry.hash = Halves(id.version.hash);
  entry.parent_hash = Halves(block.parent_hash);
  entry.footprint_kib = std::min((block.footprint + 1023) / 1024, kMaxFootprintKib);
  entry.by_parent = block.by_parent;
  const PrefixPolicy::Place place = PlaceOf(space, block.parent_hash);
  Link(slot);
  policy_.Insert(slot, place, PolicyKey(slot));
  if (place.awaited) AwaitParent(slot);
  AdoptEarlyChild(slot);
  return true;
}

PrefixPolicy::Place PrefixIndex::PlaceOf(uint32_t space, uint64_t parent_hash) const {
  if (parent_hash == 0) return {.first = true};
  const auto bearers = Bearers(space, parent_hash);
  if (bearers.size() == 1) return {.parent = bearers[0]};
  const size_t parent = HashOfHash(space, parent_hash);
  return {.awaited = bearers.empty() && gone_[parent % kRemembered] != parent};
}

uint64_t PrefixIndex::PolicyKey(uint32_t slot) const {
  const Entry& entry = entries_[slot];
  return HashOfDigest(entry.space, entry.digest) ^ Wide(entry.hash);
}

void PrefixIndex::AwaitParent(uint32_t slot) {
  const size_t parent = HashOfHash(entries_[slot].space, Wide(entries_[slot].parent_hash));
  early_[parent % kRemembered] = {parent, HandleOfSlot(slot)};
}

void PrefixIndex::AdoptEarlyChild(uint32_t slot) {
  const Entry& entry = entries_[slot];
  const size_t hash = HashOfHash(entry.space, Wide(entry.hash));
  if (gone_[hash % kRemembered] == hash) gone_[hash % kRemembered] = 0;
  Early& early = early_[hash % kRemembered];
  if (early.parent != hash) return;
  const auto child = static_cast<uint32_t>(early.child);
  const bool there = HandleOfSlot(child) == early.child && entries_[child].space == entry.space;
  early = {};
  if (there && OnlyBearer(entry.space, Wide(entries_[child].parent_hash)) == slot) {
    policy_.Renew(child, {.parent = slot});
  }
}

void PrefixIndex::Touch(std::span<const Handle> found, size_t asked) {
  thread_local std::vector<uint32_t> slots;
  slots.clear();
  absl::MutexLock lock(&mutex_);
  for (const Handle handle : found) {
    const auto slot = static_cast<uint32_t>(handle);
    if (HandleOfSlot(slot) == handle && policy_.Contains(slot)) slots.push_back(slot);
  }
  policy_.Touch(slots, asked);
}

void PrefixIndex::Renew(const BlockId& id) {
  absl::MutexLock lock(&mutex_);
  const std::optional<uint32_t> slot = FindSlot(id);
  if (!slot) return;
  policy_.Renew(*slot, PlaceOf(entries_[*slot].space, Wide(entries_[*slot].parent_hash)));
}

void PrefixIndex::TakeChildren(uint32_t slot, std::vector<uint32_t>* children) {
  const uint32_t space = entries_[slot].space;
  const uint64_t hash = Wide(entries_[slot].hash);
  const size_t first = children->size();
  by_parent_.ForEach(HashOfHash(space, hash), [&](uint32_t child) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    const Entry& entry = entries_[child];
    if (entry.space == space && Wide(entry.parent_hash) == hash) children->push_back(child);
    return true;
  });
  for (size_t i = first; i < children->size(); ++i) by_parent_.Remove((*children)[i]);
}

// Not recursive, since a chain may be a million blocks long: collects the block and, breadth first,
// all that hangs on each; then takes them out from the last. What was collected is out of
// by_parent_ at once, so that hashes that run in a circle end.
void PrefixIndex::RemoveSlot(uint32_t slot, std::vector<Removed>* removed) {
  std::vector<uint32_t> doomed = {slot};
  if (entries_[slot].by_parent) by_parent_.Remove(slot);
  for (size_t i = 0; i < doomed.size(); ++i) {
    if (by_parent_.size() > 0) TakeChildren(doomed[i], &doomed);
  }
  for (size_t i = doomed.size(); i > 0; --i) {
    const uint32_t out = doomed[i - 1];
    const Entry& entry = entries_[out];
    SpaceInfo& space = spaces_[entry.space];
    removed->push_back({BlockId{space.id, VersionOf(out)}, space.container, space.partition,
                        uint64_t{entry.footprint_kib} * 1024, Wide(entry.parent_hash),
                        entry.by_parent != 0});
    policy_.Erase(out, PolicyKey(out));
    const size_t hash = HashOfHash(entry.space, Wide(entry.hash));
    gone_[hash % kRemembered] = hash;
    by_digest_.Remove(out);
    if (Wide(entry.hash) != 0) by_hash_.Remove(out);
    space.blocks_by_parent -= entry.by_parent;
    space.footprint_kib -= entry.footprint_kib;
    LeaveSpace(entry.space);
    FreeSlot(out);
  }
}

std::vector<PrefixIndex::Removed> PrefixIndex::Remove(const BlockId& id,
                                                      std::optional<Handle> handle) {
  absl::MutexLock lock(&mutex_);
  std::vector<Removed> removed;
  const std::optional<uint32_t> slot = FindSlot(id);
  if (slot && (!handle || HandleOfSlot(*slot) == *handle)) RemoveSlot(*slot, &removed);
  return removed;
}

std::vector<PrefixIndex::Removed> PrefixIndex::RemoveLeastWorth(uint64_t bytes) {
  absl::MutexLock lock(&mutex_);
  std::vector<Removed> removed;
  uint64_t freed = 0;
  while (freed < bytes) {
    const std::optional<uint32_t> slot = policy_.Victim();
    if (!slot) break;
    const size_t before = removed.size();
    RemoveSlot(*slot, &removed);
    for (size_t i = before; i < removed.size(); ++i) freed += removed[i].footprint;
  }
  return removed;
}

std::vector<PrefixIndex::Removed> PrefixIndex::RemoveLeastWorth(const Container& container,
                                                                uint64_t bytes, size_t blocks) {
  constexpr size_t kMostLookedAt = 1'000'000;
  absl::MutexLock lock(&mutex_);
  std::vector<Handle> victims;
  uint64_t freed = 0;
  size_t looked_at = 0;
  if (bytes > 0 && blocks > 0) {
    policy_.VisitVictims([&](uint32_t slot) ABSL_NO_THREAD_SAFETY_ANALYSIS {
      if (spaces_[entries_[slot].space].container == container) {
        victims.push_back(HandleOfSlot(slot));
        freed += uint64_t{entries_[slot].footprint_kib} * 1024;
      }
      return freed < bytes && victims.size() < blocks && ++looked_at < kMostLookedAt;
    });
  }
  std::vector<Removed> removed;
  for (const Handle victim : victims) {
    const auto slot = static_cast<uint32_t>(victim);
    // One may have taken the next with it.
    if (HandleOfSlot(slot) == victim) RemoveSlot(slot, &removed);
  }
  return removed;
}

size_t PrefixIndex::ShrinkTo(size_t blocks) {
  size_t count = 0;
  std::vector<Removed> removed;
  do {
    removed.clear();
    absl::MutexLock lock(&mutex_);
    while (by_digest_.size() > blocks && removed.size() < kShrinkStep) {
      RemoveSlot(*policy_.Victim(), &removed);
    }
    count += removed.size();
  } while (!removed.empty());
  return count;
}

}  // namespace kvstore
