#include "benchmarks/eviction/policies.h"

#include <algorithm>
#include <list>
#include <set>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "KVService/eviction/prefix_policy.h"

namespace kvstore::eviction_sim {
namespace {

class Lru : public Policy {
 public:
  explicit Lru(size_t capacity) : capacity_(capacity) {}

  bool Contains(uint32_t id) const override { return where_.contains(id); }

  void Request(size_t, std::span<const uint32_t> prompt, size_t) override {
    for (size_t i = prompt.size(); i > 0; --i) Use(prompt[i - 1]);
  }

 private:
  void Use(uint32_t id) {
    if (const auto at = where_.find(id); at != where_.end()) {
      order_.splice(order_.begin(), order_, at->second);
      return;
    }
    if (where_.size() >= capacity_) {
      where_.erase(order_.back());
      order_.pop_back();
    }
    order_.push_front(id);
    where_[id] = order_.begin();
  }

  const size_t capacity_;
  std::list<uint32_t> order_;  // hottest first
  std::unordered_map<uint32_t, std::list<uint32_t>::iterator> where_;
};

class S3Fifo : public Policy {
 public:
  explicit S3Fifo(size_t capacity)
      : capacity_(capacity), small_capacity_(std::max<size_t>(1, capacity / 10)) {}

  bool Contains(uint32_t id) const override { return uses_.contains(id); }

  void Request(size_t, std::span<const uint32_t> prompt, size_t) override {
    for (size_t i = prompt.size(); i > 0; --i) Use(prompt[i - 1]);
  }

 private:
  void Use(uint32_t id) {
    if (const auto at = uses_.find(id); at != uses_.end()) {
      at->second = std::min(at->second + 1, 3);
      return;
    }
    while (uses_.size() >= capacity_) {
      if (small_.size() >= small_capacity_ || main_.empty()) {
        EvictSmall();
      } else {
        EvictMain();
      }
    }
    uses_[id] = 0;
    if (const auto ghost = ghosts_.find(id); ghost != ghosts_.end()) {
      ghost_order_.erase(ghost->second);
      ghosts_.erase(ghost);
      main_.push_front(id);
    } else {
      small_.push_front(id);
    }
  }

  void EvictSmall() {
    while (!small_.empty()) {
      const uint32_t id = small_.back();
      small_.pop_back();
      if (uses_[id] > 1) {
        uses_[id] = 0;
        main_.push_front(id);
        if (main_.size() > capacity_ - small_capacity_) {
          EvictMain();
          return;
        }
      } else {
        uses_.erase(id);
        ghost_order_.push_front(id);
        ghosts_[id] = ghost_order_.begin();
        if (ghosts_.size() > capacity_ - small_capacity_) {
          ghosts_.erase(ghost_order_.back());
          ghost_order_.pop_back();
        }
        return;
      }
    }
  }

  void EvictMain() {
    while (!main_.empty()) {
      const uint32_t id = main_.back();
      main_.pop_back();
      int& uses = uses_[id];
      if (uses == 0) {
        uses_.erase(id);
        return;
      }
      --uses;
      main_.push_front(id);
    }
  }

  const size_t capacity_, small_capacity_;
  std::list<uint32_t> small_, main_, ghost_order_;  // newest first
  std::unordered_map<uint32_t, int> uses_;          // of those in `small_` and `main_`
  std::unordered_map<uint32_t, std::list<uint32_t>::iterator> ghosts_;
};

class Ours : public Policy {
 public:
  explicit Ours(size_t capacity) : capacity_(capacity), ids_(capacity + 1) {
    for (size_t i = capacity + 1; i > 0; --i) free_.push_back(static_cast<uint32_t>(i - 1));
  }

  bool Contains(uint32_t id) const override { return slots_.contains(id); }

  void Request(size_t, std::span<const uint32_t> prompt, size_t found) override {
    found_.clear();
    for (size_t i = 0; i < found; ++i) found_.push_back(slots_[prompt[i]]);
    policy_.Touch(found_, prompt.size());
    for (size_t i = found; i < prompt.size(); ++i) {
      PrefixPolicy::Place place = {.first = i == 0};
      if (i > 0) place.parent = SlotOf(prompt[i - 1]);
      if (const std::optional<uint32_t> slot = SlotOf(prompt[i])) {
        policy_.Renew(*slot, place);
        continue;
      }
      const uint32_t slot = free_.back();
      free_.pop_back();
      ids_[slot] = prompt[i];
      slots_[prompt[i]] = slot;
      policy_.Insert(slot, place, prompt[i]);
      if (slots_.size() > capacity_) Evict();
    }
  }

 private:
  std::optional<uint32_t> SlotOf(uint32_t id) const {
    const auto at = slots_.find(id);
    if (at == slots_.end()) return std::nullopt;
    return at->second;
  }

  void Evict() {
    const uint32_t slot = *policy_.Victim();
    policy_.Erase(slot, ids_[slot]);
    slots_.erase(ids_[slot]);
    free_.push_back(slot);
  }

  const size_t capacity_;
  PrefixPolicy policy_;
  std::unordered_map<uint32_t, uint32_t> slots_;  // by id
  std::vector<uint32_t> ids_, free_, found_;
};

class Belady : public Policy {
 public:
  Belady(size_t capacity, const std::vector<std::vector<uint32_t>>& next_uses, bool deepest_first)
      : capacity_(capacity), next_uses_(next_uses), deepest_first_(deepest_first) {}

  bool Contains(uint32_t id) const override { return keys_.contains(id); }

  void Request(size_t number, std::span<const uint32_t> prompt, size_t) override {
    for (size_t i = 0; i < prompt.size(); ++i) {
      const int64_t depth = static_cast<int64_t>(i);
      const Key key = {next_uses_[number][i], deepest_first_ ? depth : -depth, prompt[i]};
      if (const auto at = keys_.find(prompt[i]); at != keys_.end()) order_.erase(at->second);
      keys_[prompt[i]] = key;
      order_.insert(key);
      if (order_.size() <= capacity_) continue;
      const auto last = std::prev(order_.end());
      keys_.erase(std::get<2>(*last));
      order_.erase(last);
    }
  }

 private:
  using Key = std::tuple<uint32_t, int64_t, uint32_t>;  // next use, depth, id

  const size_t capacity_;
  const std::vector<std::vector<uint32_t>>& next_uses_;
  const bool deepest_first_;
  std::set<Key> order_;  // the last goes first
  std::unordered_map<uint32_t, Key> keys_;
};

}  // namespace

std::unique_ptr<Policy> MakeLru(size_t capacity) { return std::make_unique<Lru>(capacity); }

std::unique_ptr<Policy> MakeS3Fifo(size_t capacity) { return std::make_unique<S3Fifo>(capacity); }

std::unique_ptr<Policy> MakeOurs(size_t capacity) { return std::make_unique<Ours>(capacity); }

std::unique_ptr<Policy> MakeBelady(size_t capacity,
                                   const std::vector<std::vector<uint32_t>>& next_uses,
                                   bool deepest_first) {
  return std::make_unique<Belady>(capacity, next_uses, deepest_first);
}

}  // namespace kvstore::eviction_sim
