#include "KVService/eviction/lru_order.h"

#include "KVCommon/status_macros.h"

namespace kvstore {

void LruOrder::Insert(uint32_t slot) {
  if (slot >= links_.size()) links_.resize(slot + 1);
  KV_CHECK(!Contains(slot));
  LinkAsHottest(slot);
}

void LruOrder::Touch(uint32_t slot) {
  if (slot == hottest_) return;
  Erase(slot);
  LinkAsHottest(slot);
}

void LruOrder::Erase(uint32_t slot) {
  KV_CHECK(Contains(slot));
  const Link link = links_[slot];
  (link.hotter == kNone ? hottest_ : links_[link.hotter].colder) = link.colder;
  (link.colder == kNone ? coldest_ : links_[link.colder].hotter) = link.hotter;
  links_[slot] = Link();
}

std::optional<uint32_t> LruOrder::Coldest() const {
  if (coldest_ == kNone) return std::nullopt;
  return coldest_;
}

void LruOrder::LinkAsHottest(uint32_t slot) {
  links_[slot] = {.colder = hottest_, .hotter = kNone};
  (hottest_ == kNone ? coldest_ : links_[hottest_].hotter) = slot;
  hottest_ = slot;
}

}  // namespace kvstore
