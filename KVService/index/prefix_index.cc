#include "KVService/index/prefix_index.h"

#include <algorithm>
#include <cstring>

#include "KVCommon/status_macros.h"
#include "absl/hash/hash.h"

namespace kvstore {

// ---- the keys of the two tables

PrefixIndex::DigestKey PrefixIndex::DigestTraits::KeyOf(uint32_t slot) const {
  const Entry& entry = (*entries)[slot];
  return {entry.space, &entry.version.digest, entry.version.tokens_crc};
}

template <typename A>
size_t PrefixIndex::DigestTraits::operator()(const A& a) const {
  const DigestKey key = KeyOf(a);
  uint64_t digest;  // uniform as it is
  std::memcpy(&digest, key.digest->data(), sizeof digest);
  return absl::HashOf(digest, key.space);
}

template <typename A, typename B>
bool PrefixIndex::DigestTraits::operator()(const A& a, const B& b) const {
  const DigestKey x = KeyOf(a), y = KeyOf(b);
  return x.space == y.space && x.tokens_crc == y.tokens_crc && *x.digest == *y.digest;
}

PrefixIndex::HashKey PrefixIndex::HashTraits::KeyOf(uint32_t slot) const {
  const Entry& entry = (*entries)[slot];
  return {entry.space, entry.version.hash};
}

template <typename A>
size_t PrefixIndex::HashTraits::operator()(const A& a) const {
  const HashKey key = KeyOf(a);
  return absl::HashOf(key.hash, key.space);
}

template <typename A, typename B>
bool PrefixIndex::HashTraits::operator()(const A& a, const B& b) const {
  const HashKey x = KeyOf(a), y = KeyOf(b);
  return x.space == y.space && x.hash == y.hash;
}

// ---- finding

std::optional<uint32_t> PrefixIndex::FindSpace(const Space& space) const {
  const auto it = space_numbers_.find(space);
  if (it == space_numbers_.end()) return std::nullopt;
  return it->second;
}

std::optional<uint32_t> PrefixIndex::FindSlot(const BlockId& id) const {
  const std::optional<uint32_t> space = FindSpace(id.space);
  if (!space) return std::nullopt;
  const auto it = by_digest_.find(DigestKey{*space, &id.version.digest, id.version.tokens_crc});
  if (it == by_digest_.end()) return std::nullopt;
  for (uint32_t slot = *it; slot != kNone; slot = entries_[slot].next_version) {
    if (entries_[slot].version.hash == id.version.hash) return slot;
  }
  return std::nullopt;
}

std::optional<uint32_t> PrefixIndex::OnlyBearer(uint32_t space, uint64_t hash) const {
  if (hash == 0) return std::nullopt;  // "no parent"
  const auto it = by_hash_.find(HashKey{space, hash});
  if (it == by_hash_.end() || entries_[*it].next_bearing != kNone) return std::nullopt;
  return *it;
}

bool PrefixIndex::Contains(const BlockId& id) const {
  absl::ReaderMutexLock lock(&mutex_);
  return FindSlot(id).has_value();
}

std::optional<uint64_t> PrefixIndex::GenerationOf(const BlockId& id) const {
  absl::ReaderMutexLock lock(&mutex_);
  const std::optional<uint32_t> slot = FindSlot(id);
  if (!slot) return std::nullopt;
  return entries_[*slot].generation;
}

std::optional<BlockId> PrefixIndex::ParentOf(const BlockId& id) const {
  absl::ReaderMutexLock lock(&mutex_);
  const std::optional<uint32_t> slot = FindSlot(id);
  if (!slot) return std::nullopt;
  const std::optional<uint32_t> parent =
      OnlyBearer(entries_[*slot].space, entries_[*slot].parent_hash);
  if (!parent) return std::nullopt;
  return BlockId{id.space, entries_[*parent].version};
}

PrefixIndex::Versions PrefixIndex::Find(const Space& space, const Digest& digest,
                                        uint32_t tokens_crc) const {
  absl::ReaderMutexLock lock(&mutex_);
  Versions versions;
  const std::optional<uint32_t> number = FindSpace(space);
  if (!number) return versions;
  const auto it = by_digest_.find(DigestKey{*number, &digest, tokens_crc});
  if (it == by_digest_.end()) return versions;
  for (uint32_t slot = *it; slot != kNone; slot = entries_[slot].next_version) {
    versions.push_back({entries_[slot].version.hash, entries_[slot].parent_hash});
  }
  return versions;
}

int PrefixIndex::CountBearing(const Space& space, uint64_t hash) const {
  absl::ReaderMutexLock lock(&mutex_);
  const std::optional<uint32_t> number = FindSpace(space);
  if (!number) return 0;
  const auto it = by_hash_.find(HashKey{*number, hash});
  if (it == by_hash_.end()) return 0;
  return entries_[*it].next_bearing == kNone ? 1 : 2;
}

bool PrefixIndex::HasBlocksByParent(const Space& space) const {
  absl::ReaderMutexLock lock(&mutex_);
  const std::optional<uint32_t> number = FindSpace(space);
  return number && !spaces_[*number].by_parent.empty();
}

size_t PrefixIndex::size() const {
  absl::ReaderMutexLock lock(&mutex_);
  return size_;
}

// ---- changing

uint32_t PrefixIndex::SpaceNumber(const Container& container, const PartitionDigest& partition,
                                  const Space& space) {
  const auto [it, added] = space_numbers_.try_emplace(space, spaces_.size());
  if (added) spaces_.push_back({space, container, partition, {}});
  return it->second;
}

uint32_t PrefixIndex::TakeSlot() {
  if (free_slots_.empty()) {
    KV_CHECK(entries_.size() < kNone);
    entries_.emplace_back();
    return static_cast<uint32_t>(entries_.size() - 1);
  }
  const uint32_t slot = free_slots_.back();
  free_slots_.pop_back();
  return slot;
}

bool PrefixIndex::Insert(const Container& container, const PartitionDigest& partition,
                         const BlockId& id, const IndexedBlock& block) {
  absl::MutexLock lock(&mutex_);
  const uint32_t space = SpaceNumber(container, partition, id.space);
  if (FindSlot(id)) return false;
  const std::optional<uint32_t> parent = OnlyBearer(space, block.parent_hash);

  const uint32_t slot = TakeSlot();
  Entry& entry = entries_[slot];
  entry = Entry{.version = id.version, .space = space, .parent_hash = block.parent_hash};
  entry.generation = ++generation_;
  entry.by_parent = block.by_parent;
  entry.footprint_kib = static_cast<uint32_t>((block.footprint + 1023) / 1024);

  // A later version goes behind the oldest: Find gives that first.
  if (const auto [it, first] = by_digest_.insert(slot); !first) {
    uint32_t last = *it;
    while (entries_[last].next_version != kNone) last = entries_[last].next_version;
    entries_[last].next_version = slot;
  }
  if (const auto [it, first] = by_hash_.insert(slot); !first) {
    entry.next_bearing = entries_[*it].next_bearing;
    entries_[*it].next_bearing = slot;
  }
  if (block.by_parent) spaces_[space].by_parent[block.parent_hash].push_back(slot);
  ++size_;
  recency_.Insert(slot, parent);
  return true;
}

void PrefixIndex::Touch(std::span<const BlockId> prompt) {
  absl::MutexLock lock(&mutex_);
  for (size_t i = prompt.size(); i > 0; --i) {
    if (const std::optional<uint32_t> slot = FindSlot(prompt[i - 1])) recency_.Touch(*slot);
  }
}

void PrefixIndex::Renew(const BlockId& id) {
  absl::MutexLock lock(&mutex_);
  const std::optional<uint32_t> slot = FindSlot(id);
  if (!slot) return;
  recency_.Erase(*slot);
  recency_.Insert(*slot, OnlyBearer(entries_[*slot].space, entries_[*slot].parent_hash));
}

void PrefixIndex::UnlinkVersion(uint32_t slot) {
  const auto it = by_digest_.find(slot);  // by key: finds the first of the chain
  const uint32_t head = *it;
  const uint32_t next = entries_[slot].next_version;
  if (head == slot) {
    by_digest_.erase(it);
    if (next != kNone) by_digest_.insert(next);
    return;
  }
  uint32_t before = head;
  while (entries_[before].next_version != slot) before = entries_[before].next_version;
  entries_[before].next_version = next;
}

void PrefixIndex::UnlinkBearing(uint32_t slot) {
  const auto it = by_hash_.find(slot);
  const uint32_t head = *it;
  const uint32_t next = entries_[slot].next_bearing;
  if (head == slot) {
    by_hash_.erase(it);
    if (next != kNone) by_hash_.insert(next);
    return;
  }
  uint32_t before = head;
  while (entries_[before].next_bearing != slot) before = entries_[before].next_bearing;
  entries_[before].next_bearing = next;
}

// Not recursive, since a chain may be a million blocks long: collects the block and, breadth first,
// all that hangs on each; then takes them out from the last.
void PrefixIndex::RemoveSlot(uint32_t slot, std::vector<Removed>* removed) {
  std::vector<uint32_t> doomed = {slot};
  SpaceInfo& space = spaces_[entries_[slot].space];
  for (size_t i = 0; i < doomed.size(); ++i) {
    const auto it = space.by_parent.find(entries_[doomed[i]].version.hash);
    if (it == space.by_parent.end()) continue;
    // Taken out of the table here, so that hashes that run in a circle end.
    const absl::InlinedVector<uint32_t, 2> children = std::move(it->second);
    space.by_parent.erase(it);
    for (uint32_t child : children) {
      if (child != slot) doomed.push_back(child);
    }
  }
  if (entries_[slot].by_parent) {
    const auto it = space.by_parent.find(entries_[slot].parent_hash);
    if (it != space.by_parent.end()) {
      it->second.erase(std::remove(it->second.begin(), it->second.end(), slot), it->second.end());
      if (it->second.empty()) space.by_parent.erase(it);
    }
  }
  for (size_t i = doomed.size(); i > 0; --i) {
    const uint32_t out = doomed[i - 1];
    const Entry& entry = entries_[out];
    removed->push_back({BlockId{space.id, entry.version}, space.container, space.partition,
                        uint64_t{entry.footprint_kib} * 1024});
    UnlinkVersion(out);
    UnlinkBearing(out);
    recency_.Erase(out);
    entries_[out] = Entry();
    free_slots_.push_back(out);
    --size_;
  }
}

std::vector<PrefixIndex::Removed> PrefixIndex::Remove(const BlockId& id,
                                                      std::optional<uint64_t> generation) {
  absl::MutexLock lock(&mutex_);
  std::vector<Removed> removed;
  const std::optional<uint32_t> slot = FindSlot(id);
  if (slot && (!generation || entries_[*slot].generation == *generation)) {
    RemoveSlot(*slot, &removed);
  }
  return removed;
}

std::vector<PrefixIndex::Removed> PrefixIndex::RemoveColdest(uint64_t bytes) {
  absl::MutexLock lock(&mutex_);
  std::vector<Removed> removed;
  uint64_t freed = 0;
  while (freed < bytes) {
    const std::optional<uint32_t> slot = recency_.Coldest();
    if (!slot) break;
    const size_t before = removed.size();
    RemoveSlot(*slot, &removed);
    for (size_t i = before; i < removed.size(); ++i) freed += removed[i].footprint;
  }
  return removed;
}

size_t PrefixIndex::ShrinkTo(size_t blocks) {
  absl::MutexLock lock(&mutex_);
  std::vector<Removed> removed;
  size_t count = 0;
  while (size_ > blocks) {
    RemoveSlot(*recency_.Coldest(), &removed);
    count += removed.size();
    removed.clear();
  }
  return count;
}

}  // namespace kvstore
