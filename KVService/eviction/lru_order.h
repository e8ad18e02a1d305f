// Least recently used.
#ifndef KVSERVICE_EVICTION_LRU_ORDER_H_
#define KVSERVICE_EVICTION_LRU_ORDER_H_

#include <cstdint>
#include <optional>
#include <vector>

namespace kvstore {

// An order over slots: small numbers that the owner gives out and reuses, densely. Not thread-safe.
class LruOrder {
 public:
  // Puts `slot` in as the hottest. REQUIRES: it is not in the order.
  void Insert(uint32_t slot);

  // Makes `slot` the hottest. REQUIRES: it is in.
  void Touch(uint32_t slot);

  // REQUIRES: it is in.
  void Erase(uint32_t slot);

  bool Contains(uint32_t slot) const { return slot < links_.size() && links_[slot].colder != kOut; }

  // The slot to give up first; nullopt where there is none.
  std::optional<uint32_t> Coldest() const;

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr uint32_t kOut = UINT32_MAX - 1;  // in `colder`: not in the order
  struct Link {
    uint32_t colder = kOut;
    uint32_t hotter = kNone;
  };

  void LinkAsHottest(uint32_t slot);

  std::vector<Link> links_;
  uint32_t hottest_ = kNone;
  uint32_t coldest_ = kNone;
};

}  // namespace kvstore

#endif  // KVSERVICE_EVICTION_LRU_ORDER_H_
