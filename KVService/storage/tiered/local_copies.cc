#include "KVService/storage/tiered/local_copies.h"

#include <utility>

#include "KVCommon/status_macros.h"
#include "KVService/storage/tiered/pending_marker.h"

namespace kvstore::tiered {

using State = LocalCopy::State;

LocalCopy* LocalCopies::Find(const std::string& key) {
  const auto it = copies_.find(key);
  return it == copies_.end() ? nullptr : &it->second;
}

const LocalCopy* LocalCopies::Find(const std::string& key) const {
  const auto it = copies_.find(key);
  return it == copies_.end() ? nullptr : &it->second;
}

LocalCopy* LocalCopies::Add(const std::string& key, BlobId id, uint64_t footprint) {
  const auto [it, added] = copies_.try_emplace(key);
  KV_CHECK(added);
  LocalCopy* const copy = &it->second;
  copy->id = std::move(id);
  copy->footprint = footprint;
  bytes_ += footprint;
  if (free_slots_.empty()) {
    copy->slot = static_cast<uint32_t>(slots_.size());
    slots_.push_back(copy);
  } else {
    copy->slot = free_slots_.back();
    free_slots_.pop_back();
    slots_[copy->slot] = copy;
  }
  return copy;
}

void LocalCopies::SetPending(LocalCopy* copy, BlobInfo info, absl::Time since) {
  copy->state = State::kHeld;
  copy->pending = true;
  copy->info = std::move(info);
  copy->since = since;
  pending_footprint_ += copy->info.footprint;
  pending_bytes_ += copy->info.size;
  pending_.emplace(KeyOf(copy->id), copy);
}

void LocalCopies::LeavePending(LocalCopy* copy) {
  if (!copy->pending) return;
  copy->pending = false;
  pending_footprint_ -= copy->info.footprint;
  pending_bytes_ -= copy->info.size;
  copy->info = BlobInfo();
  pending_.erase(KeyOf(copy->id));
}

void LocalCopies::SetShared(LocalCopy* copy, uint64_t footprint) {
  LeavePending(copy);
  copy->state = State::kHeld;
  bytes_ = bytes_ - copy->footprint + footprint;
  copy->footprint = footprint;
  order_.Insert(copy->slot);
}

void LocalCopies::LeaveOrder(LocalCopy* copy) {
  if (order_.Contains(copy->slot)) order_.Erase(copy->slot);
}

void LocalCopies::SetLeaving(LocalCopy* copy) {
  KV_CHECK(copy->state != State::kLeaving);
  LeaveOrder(copy);
  copy->state = State::kLeaving;
  leaving_bytes_ += copy->footprint;
}

void LocalCopies::SetStaying(LocalCopy* copy) {
  leaving_bytes_ -= copy->footprint;
  copy->state = State::kHeld;
  if (!copy->pending) order_.Insert(copy->slot);
}

void LocalCopies::Remove(const std::string& key) {
  const auto it = copies_.find(key);
  KV_CHECK(it != copies_.end());
  LocalCopy* const copy = &it->second;
  LeaveOrder(copy);
  LeavePending(copy);
  bytes_ -= copy->footprint;
  if (copy->state == State::kLeaving) leaving_bytes_ -= copy->footprint;
  slots_[copy->slot] = nullptr;
  free_slots_.push_back(copy->slot);
  copies_.erase(it);
}

void LocalCopies::Touch(LocalCopy* copy) {
  if (order_.Contains(copy->slot)) order_.Touch(copy->slot);
}

LocalCopy* LocalCopies::Coldest() const {
  const std::optional<uint32_t> slot = order_.Coldest();
  return slot ? slots_[*slot] : nullptr;
}

}  // namespace kvstore::tiered
