// An order that is fair between parties: one that asks for a thousand does not make another wait
// for a thousand.
#ifndef KVSERVICE_ADMISSION_FAIR_ORDER_H_
#define KVSERVICE_ADMISSION_FAIR_ORDER_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>

#include "absl/container/flat_hash_map.h"

namespace kvstore {

// Who shares: a tenant, or a connection.
using PartyId = uint64_t;

// Start-time fair queuing (Goyal, Vin and Cheng, 1996): where items of several parties wait, each
// party gets the same cost's worth, whatever its items cost and however many it has. Not
// thread-safe.
template <typename T>
class FairOrder {
 public:
  void Push(PartyId party, int64_t cost, T item) {
    if (waiting_.empty()) {
      served_until_.clear();  // nobody waits for what anybody had: all are even
    } else if (served_until_.size() > look_at_) {
      absl::erase_if(served_until_, [now = now_](const auto& its) { return its.second <= now; });
      look_at_ = std::max(kFewEntries, 2 * served_until_.size());
    }
    int64_t& served_until = served_until_[party];
    const int64_t start = std::max(now_, served_until);
    served_until = start + cost;
    waiting_.emplace(std::pair(start, ++pushed_), std::move(item));
  }

  bool empty() const { return waiting_.empty(); }
  size_t size() const { return waiting_.size(); }

  // REQUIRES: not empty.
  const T& first() const { return waiting_.begin()->second; }
  T Pop() {
    const auto first = waiting_.begin();
    now_ = first->first.first;
    T item = std::move(first->second);
    waiting_.erase(first);
    return item;
  }

 private:
  static constexpr size_t kFewEntries = 1024;

  uint64_t pushed_ = 0;
  int64_t now_ = 0;  // virtual time, in cost
  // Virtual, of each party; one that is not beyond now_ needs no entry.
  absl::flat_hash_map<PartyId, int64_t> served_until_;
  size_t look_at_ = kFewEntries;  // when there are more, for those that need none
  std::map<std::pair<int64_t, uint64_t>, T> waiting_;  // by virtual start, then age
};

}  // namespace kvstore

#endif  // KVSERVICE_ADMISSION_FAIR_ORDER_H_
