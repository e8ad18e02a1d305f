// Least recently used, for blocks that hang on the blocks before them.
//
// A block without its parent is unreachable, so a parent must always outlive its children. Plain
// LRU gets that wrong: the blocks of a new prompt are written root first, which makes the root the
// coldest. Here a new block enters right behind its parent (a little colder than it), and a
// prompt's blocks are touched deepest first. The cold end is then always a leaf, at O(1) a step.
#ifndef KVSERVICE_EVICTION_PREFIX_LRU_H_
#define KVSERVICE_EVICTION_PREFIX_LRU_H_

#include <cstdint>
#include <optional>
#include <vector>

namespace kvstore {

// An order over slots: small numbers that the owner gives out and reuses, densely. Not thread-safe.
class PrefixLru {
 public:
  // Puts `slot` in, right behind `parent` where that is in the order, else as the hottest.
  // REQUIRES: `slot` is not in the order.
  void Insert(uint32_t slot, std::optional<uint32_t> parent);

  // Makes `slot` the hottest. Touch the blocks of a prompt deepest first. REQUIRES: it is in.
  void Touch(uint32_t slot);

  // REQUIRES: it is in.
  void Erase(uint32_t slot);

  bool Contains(uint32_t slot) const { return slot < links_.size() && links_[slot].colder != kOut; }

  // The slot to give up first; nullopt where there is none.
  std::optional<uint32_t> Coldest() const;

  size_t memory_bytes() const { return links_.capacity() * sizeof(Link); }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr uint32_t kOut = UINT32_MAX - 1;  // in `colder`: not in the order
  struct Link {
    uint32_t colder = kOut;
    uint32_t hotter = kNone;
  };

  void LinkBehind(uint32_t slot, uint32_t hotter);
  void LinkAsHottest(uint32_t slot);

  std::vector<Link> links_;
  uint32_t hottest_ = kNone;
  uint32_t coldest_ = kNone;
};

}  // namespace kvstore

#endif  // KVSERVICE_EVICTION_PREFIX_LRU_H_
