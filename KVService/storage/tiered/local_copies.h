// What the local store holds, in RAM: which copies there are, in which order they were used, and
// which of them are pending, that is not uploaded yet.
#ifndef KVSERVICE_STORAGE_TIERED_LOCAL_COPIES_H_
#define KVSERVICE_STORAGE_TIERED_LOCAL_COPIES_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "KVService/eviction/lru_order.h"
#include "KVService/storage/blob_store.h"
#include "absl/container/node_hash_map.h"
#include "absl/time/time.h"

namespace kvstore::tiered {

struct LocalCopy {
  enum class State {
    kWriting,  // its Put is under way: not to be read, not to be evicted
    kHeld,     // complete. In the order of use, unless it is pending
    kLeaving,  // its Delete is under way
  };

  BlobId id;
  State state = State::kWriting;
  uint64_t footprint = 0;  // in the local store; of a pending one with its marker
  uint32_t slot = 0;       // in the order of use

  bool pending = false;
  // Of a pending one only.
  BlobInfo info;  // as the remote store will list it
  absl::Time since;
  int attempts = 0;      // uploads that failed
  bool damaged = false;  // cannot be read: it is not uploaded, and kept for a Get to say so
};

// Not thread-safe. About 300 bytes and the name a copy. Pointers to copies stay until Remove.
class LocalCopies {
 public:
  // nullptr: none.
  LocalCopy* Find(const std::string& key);
  const LocalCopy* Find(const std::string& key) const;

  // A new copy that is being written. REQUIRES: there is none.
  LocalCopy* Add(const std::string& key, BlobId id, uint64_t footprint);

  // The copy is complete, and pending until SetShared; `info` is as the remote will list it.
  void SetPending(LocalCopy* copy, BlobInfo info, absl::Time since);

  // The copy is complete, also in the remote store, and the most recently used.
  void SetShared(LocalCopy* copy, uint64_t footprint);

  void SetLeaving(LocalCopy* copy);
  // It could not be deleted after all: what it was before.
  void SetStaying(LocalCopy* copy);
  void Remove(const std::string& key);

  // Makes it the most recently used, where it is in the order at all.
  void Touch(LocalCopy* copy);

  // The least recently used; nullptr where there is none to evict.
  LocalCopy* Coldest() const;

  size_t size() const { return copies_.size(); }
  uint64_t bytes() const { return bytes_; }  // all footprints, those that leave included
  uint64_t leaving_bytes() const { return leaving_bytes_; }
  // By key, so that a prefix is a range.
  const std::map<std::string, LocalCopy*>& pending() const { return pending_; }
  uint64_t pending_footprint() const { return pending_footprint_; }  // the remote's
  uint64_t pending_bytes() const { return pending_bytes_; }          // of data

 private:
  void LeaveOrder(LocalCopy* copy);
  void LeavePending(LocalCopy* copy);

  absl::node_hash_map<std::string, LocalCopy> copies_;
  std::map<std::string, LocalCopy*> pending_;
  LruOrder order_;
  std::vector<LocalCopy*> slots_;
  std::vector<uint32_t> free_slots_;
  uint64_t bytes_ = 0;
  uint64_t leaving_bytes_ = 0;
  uint64_t pending_footprint_ = 0;
  uint64_t pending_bytes_ = 0;
};

}  // namespace kvstore::tiered

#endif  // KVSERVICE_STORAGE_TIERED_LOCAL_COPIES_H_
