#include "KVService/storage/local/free_extents.h"

#include <algorithm>

namespace kvstore::local {

void FreeExtents::Add(const FreeExtent& extent) {
  waiting_.push_back(extent);
  waiting_bytes_ += extent.size;
}

void FreeExtents::Settle(uint64_t added) {
  for (; settled_ < added && !waiting_.empty(); ++settled_) {
    const FreeExtent extent = waiting_.front();
    waiting_.pop_front();
    waiting_bytes_ -= extent.size;
    if (extent.size == 0) continue;  // TakeSegment took it
    ready_bytes_ += extent.size;
    by_size_[extent.size].push_back(ready_.insert(ready_.end(), extent));
  }
}

std::optional<FreeExtent> FreeExtents::Take(uint64_t size) {
  const auto it = by_size_.find(size);
  if (it == by_size_.end()) return std::nullopt;
  const List::iterator newest = it->second.back();
  const FreeExtent extent = *newest;
  Forget(newest);
  return extent;
}

std::vector<FreeExtent> FreeExtents::TakeBeyond(uint64_t most_bytes) {
  std::vector<FreeExtent> taken;
  while (ready_bytes_ > most_bytes) {
    taken.push_back(ready_.front());
    Forget(ready_.begin());
  }
  return taken;
}

std::vector<FreeExtent> FreeExtents::TakeSegment(uint32_t segment) {
  std::vector<FreeExtent> taken;
  for (auto it = ready_.begin(); it != ready_.end();) {
    const List::iterator each = it++;
    if (each->segment != segment) continue;
    taken.push_back(*each);
    Forget(each);
  }
  for (FreeExtent& extent : waiting_) {
    if (extent.segment != segment || extent.size == 0) continue;
    taken.push_back(extent);
    waiting_bytes_ -= extent.size;
    extent.size = 0;  // stays, since the others' numbers count it
  }
  return taken;
}

void FreeExtents::Forget(List::iterator extent) {
  const auto it = by_size_.find(extent->size);
  std::deque<List::iterator>& same = it->second;
  // At one of the ends, but for TakeSegment.
  if (same.back() == extent) {
    same.pop_back();
  } else {
    same.erase(std::find(same.begin(), same.end(), extent));
  }
  if (same.empty()) by_size_.erase(it);
  ready_bytes_ -= extent->size;
  ready_.erase(extent);
}

}  // namespace kvstore::local
