// The space of deleted records, kept for a while to be written over. Writing over bytes that a file
// has already costs neither a hole to be punched nor new blocks, and often not even new pages.
#ifndef KVSERVICE_STORAGE_LOCAL_FREE_EXTENTS_H_
#define KVSERVICE_STORAGE_LOCAL_FREE_EXTENTS_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace kvstore::local {

struct FreeExtent {
  uint32_t segment = 0;
  uint64_t offset = 0;
  uint64_t size = 0;

  bool operator==(const FreeExtent&) const = default;
};

// Extents are given out for exactly their own size: models have few sizes of block, and a part that
// is left over could not be told from one that is in use. An extent waits until it is settled:
// until its record's deletion is as durable as it will get, so that no crash brings a record back
// whose bytes are gone. Not thread-safe.
class FreeExtents {
 public:
  void Add(const FreeExtent& extent);

  // How many were added so far; Settle(that) settles all of them.
  uint64_t added() const { return settled_ + waiting_.size(); }
  void Settle(uint64_t added);

  // The one that was settled last, whose pages are the likeliest to be in memory still.
  std::optional<FreeExtent> Take(uint64_t size);

  // The longest settled, until no more than `most_bytes` of settled ones are left.
  std::vector<FreeExtent> TakeBeyond(uint64_t most_bytes);

  // All of a segment, settled or not.
  std::vector<FreeExtent> TakeSegment(uint32_t segment);

  uint64_t ready_bytes() const { return ready_bytes_; }      // settled
  uint64_t waiting_bytes() const { return waiting_bytes_; }  // not yet

 private:
  using List = std::list<FreeExtent>;

  void Forget(List::iterator extent);

  std::deque<FreeExtent> waiting_;  // in the order of Add; the first is number settled_
  uint64_t settled_ = 0;
  uint64_t waiting_bytes_ = 0;
  List ready_;                                                         // longest settled first
  absl::flat_hash_map<uint64_t, std::deque<List::iterator>> by_size_;  // the same order
  uint64_t ready_bytes_ = 0;
};

}  // namespace kvstore::local

#endif  // KVSERVICE_STORAGE_LOCAL_FREE_EXTENTS_H_
