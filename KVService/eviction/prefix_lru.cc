#include "KVService/eviction/prefix_lru.h"

#include "KVCommon/status_macros.h"

namespace kvstore {

void PrefixLru::Insert(uint32_t slot, std::optional<uint32_t> parent) {
  if (slot >= links_.size()) links_.resize(slot + 1);
  KV_CHECK(!Contains(slot));
  if (parent && Contains(*parent)) {
    LinkBehind(slot, *parent);
  } else {
    LinkAsHottest(slot);
  }
}

void PrefixLru::Touch(uint32_t slot) {
  if (slot == hottest_) return;
  Erase(slot);
  LinkAsHottest(slot);
}

void PrefixLru::Erase(uint32_t slot) {
  KV_CHECK(Contains(slot));
  const Link link = links_[slot];
  (link.hotter == kNone ? hottest_ : links_[link.hotter].colder) = link.colder;
  (link.colder == kNone ? coldest_ : links_[link.colder].hotter) = link.hotter;
  links_[slot] = Link();
}

std::optional<uint32_t> PrefixLru::Coldest() const {
  if (coldest_ == kNone) return std::nullopt;
  return coldest_;
}

void PrefixLru::LinkBehind(uint32_t slot, uint32_t hotter) {
  const uint32_t colder = links_[hotter].colder;
  links_[slot] = {.colder = colder, .hotter = hotter};
  links_[hotter].colder = slot;
  (colder == kNone ? coldest_ : links_[colder].hotter) = slot;
}

void PrefixLru::LinkAsHottest(uint32_t slot) {
  links_[slot] = {.colder = hottest_, .hotter = kNone};
  (hottest_ == kNone ? coldest_ : links_[hottest_].hotter) = slot;
  hottest_ = slot;
}

}  // namespace kvstore
