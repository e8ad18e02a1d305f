#include "KVService/cache/ram_cache.h"

#include <utility>

namespace kvstore {

Slice RamCache::Get(const BlockId& id) {
  absl::MutexLock lock(&mutex_);
  const auto it = slots_.find(id);
  if (it == slots_.end()) {
    ++misses_;
    return {};
  }
  ++hits_;
  return entries_[it->second].data;
}

void RamCache::Put(const BlockId& id, Slice data, const std::optional<BlockId>& parent) {
  const uint64_t cost = CostOf(data);
  if (cost > capacity_) return;
  std::vector<Slice> freed;
  absl::MutexLock lock(&mutex_);
  if (slots_.contains(id)) return;
  uint32_t slot;
  if (free_slots_.empty()) {
    slot = static_cast<uint32_t>(entries_.size());
    entries_.emplace_back();
  } else {
    slot = free_slots_.back();
    free_slots_.pop_back();
  }
  entries_[slot] = {id, std::move(data)};
  slots_.emplace(id, slot);
  used_ += cost;
  std::optional<uint32_t> parent_slot;
  if (parent) {
    if (const auto it = slots_.find(*parent); it != slots_.end()) parent_slot = it->second;
  }
  recency_.Insert(slot, parent_slot);
  while (used_ > capacity_) {
    Remove(*recency_.Coldest(), &freed);
    ++evictions_;
  }
}

bool RamCache::Contains(const BlockId& id) const {
  absl::MutexLock lock(&mutex_);
  return slots_.contains(id);
}

void RamCache::Erase(const BlockId& id) {
  std::vector<Slice> freed;
  absl::MutexLock lock(&mutex_);
  if (const auto it = slots_.find(id); it != slots_.end()) Remove(it->second, &freed);
}

void RamCache::Touch(std::span<const BlockId> prompt) {
  absl::MutexLock lock(&mutex_);
  for (size_t i = prompt.size(); i > 0; --i) {
    if (const auto it = slots_.find(prompt[i - 1]); it != slots_.end()) recency_.Touch(it->second);
  }
}

void RamCache::Remove(uint32_t slot, std::vector<Slice>* freed) {
  Entry& entry = entries_[slot];
  used_ -= CostOf(entry.data);
  recency_.Erase(slot);
  slots_.erase(entry.id);
  freed->push_back(std::move(entry.data));
  entry = {};
  free_slots_.push_back(slot);
}

RamCache::Usage RamCache::usage() const {
  absl::MutexLock lock(&mutex_);
  return {slots_.size(), used_, capacity_, hits_, misses_, evictions_};
}

}  // namespace kvstore
