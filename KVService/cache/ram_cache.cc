#include "KVService/cache/ram_cache.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace kvstore {
namespace {

uint64_t KeyOf(const BlockId& id) {
  uint64_t digest;
  std::memcpy(&digest, id.version.digest.data(), sizeof digest);
  return digest ^ id.version.hash;
}

}  // namespace

RamCache::Table& RamCache::TableOf(const BlockId& id) const {
  static_assert(kTables <= 256);
  return tables_[id.version.digest[8] % kTables];  // uniform, and not what the maps hash by
}

std::optional<uint32_t> RamCache::SlotOf(const BlockId& id) const ABSL_NO_THREAD_SAFETY_ANALYSIS {
  const Table& table = TableOf(id);
  const auto it = table.entries.find(id);
  if (it == table.entries.end()) return std::nullopt;
  return it->second.slot;
}

Slice RamCache::Get(const BlockId& id) {
  Table& table = TableOf(id);
  absl::MutexLock lock(&table.mutex);
  const auto it = table.entries.find(id);
  if (it == table.entries.end()) {
    ++table.misses;
    return {};
  }
  ++table.hits;
  return it->second.data;
}

uint32_t RamCache::TakeSlot() {
  if (free_slots_.empty()) {
    ids_.GrowTo(ids_.size() + 1);
    return static_cast<uint32_t>(ids_.size() - 1);
  }
  const uint32_t slot = free_slots_.back();
  free_slots_.pop_back();
  return slot;
}

void RamCache::Put(const BlockId& id, Slice data, const std::optional<BlockId>& parent) {
  const uint64_t room = RoomBeside(data);
  const uint64_t cost = CostOf(data);
  if (cost > room) return;
  std::vector<Slice> freed;
  absl::MutexLock lock(&policy_mutex_);
  if (SlotOf(id)) return;
  const uint32_t slot = TakeSlot();
  ids_[slot] = id;
  // Without its parent here a block is as good as a first: the parent is in storage.
  const std::optional<uint32_t> parent_slot = parent ? SlotOf(*parent) : std::nullopt;
  policy_.Insert(slot, {.first = !parent_slot, .parent = parent_slot}, KeyOf(id));
  held_.fetch_add(data.held_bytes(), std::memory_order_relaxed);
  used_ += cost;
  ++blocks_;
  {
    Table& table = TableOf(id);
    absl::MutexLock table_lock(&table.mutex);
    table.entries.emplace(id, Entry{std::move(data), slot});
  }
  ShrinkTo(room, slot, &freed);
}

uint64_t RamCache::RoomBeside(const Slice& incoming) const {
  const uint64_t others = others_ ? others_(incoming) : 0;
  const uint64_t capacity = capacity_.load(std::memory_order_relaxed);
  return capacity - std::min(others, capacity);
}

void RamCache::ShrinkTo(uint64_t room, std::optional<uint32_t> newcomer,
                        std::vector<Slice>* freed) {
  while (used_ > room) {
    const uint32_t victim = *policy_.Victim();
    Remove(ids_[victim], freed);
    ++(!newcomer             ? evictions_.resized
       : victim == *newcomer ? evictions_.not_admitted
                             : evictions_.replaced);
  }
}

void RamCache::SetCapacity(uint64_t bytes) {
  capacity_.store(bytes, std::memory_order_relaxed);
  std::vector<Slice> freed;
  absl::MutexLock lock(&policy_mutex_);
  ShrinkTo(RoomBeside(Slice()), std::nullopt, &freed);
}

bool RamCache::Contains(const BlockId& id) const {
  const Table& table = TableOf(id);
  absl::MutexLock lock(&table.mutex);
  return table.entries.contains(id);
}

void RamCache::Erase(const BlockId& id) {
  std::vector<Slice> freed;
  absl::MutexLock lock(&policy_mutex_);
  if (SlotOf(id)) Remove(id, &freed);
}

void RamCache::Touch(std::span<const BlockId> found, size_t asked, std::vector<bool>* here) {
  here->assign(found.size(), false);
  if (held_bytes() == 0) return;
  thread_local std::vector<uint32_t> slots;
  slots.clear();
  absl::MutexLock lock(&policy_mutex_);
  for (size_t i = 0; i < found.size(); ++i) {
    const std::optional<uint32_t> slot = SlotOf(found[i]);
    if (!slot) continue;
    slots.push_back(*slot);
    (*here)[i] = true;
  }
  policy_.Touch(slots, asked);
}

void RamCache::Remove(const BlockId& id, std::vector<Slice>* freed) {
  Entry entry;
  {
    Table& table = TableOf(id);
    absl::MutexLock lock(&table.mutex);
    const auto it = table.entries.find(id);
    entry = std::move(it->second);
    table.entries.erase(it);
  }
  policy_.Erase(entry.slot, KeyOf(id));
  free_slots_.push_back(entry.slot);
  held_.fetch_sub(entry.data.held_bytes(), std::memory_order_relaxed);
  used_ -= CostOf(entry.data);
  --blocks_;
  freed->push_back(std::move(entry.data));
}

RamCache::Usage RamCache::usage() const {
  Usage usage;
  usage.capacity_bytes = capacity_.load(std::memory_order_relaxed);
  for (const Table& table : tables_) {
    absl::MutexLock lock(&table.mutex);
    usage.hits += table.hits;
    usage.misses += table.misses;
  }
  absl::MutexLock lock(&policy_mutex_);
  usage.blocks = blocks_;
  usage.used_bytes = used_;
  usage.evictions = evictions_;
  return usage;
}

}  // namespace kvstore
