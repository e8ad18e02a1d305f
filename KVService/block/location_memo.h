// The texts of locations that were given out of late: a prompt that comes again gets the same ones,
// and a MAC and its base64 take seven times as long as to find them here.
#ifndef KVSERVICE_BLOCK_LOCATION_MEMO_H_
#define KVSERVICE_BLOCK_LOCATION_MEMO_H_

#include <cstddef>
#include <cstdint>

#include "KVCommon/chunked_vector.h"
#include "KVService/block/location.h"

namespace kvstore {

// Keeps the last locations that it gave, with all that they depend on: what it gives is always what
// the codec does. Not thread-safe: one a thread.
class LocationMemo {
 public:
  // 4 MiB.
  static constexpr size_t kEntries = 21'000;

  // As codec.Encode(container, {partition, id.version}). Stays until the next call. REQUIRES:
  // id.space is SpaceOf(container, partition).
  const LocationText& Encode(const LocationCodec& codec, const Container& container,
                             const PartitionDigest& partition, const BlockId& id);

  uint64_t hits() const { return hits_; }

 private:
  struct Entry {
    bool used;
    LocationCodec codec;
    BlockId id;
    LocationText text;
  };

  ChunkedVector<Entry> entries_;  // made at the first use
  uint64_t hits_ = 0;
};

}  // namespace kvstore

#endif  // KVSERVICE_BLOCK_LOCATION_MEMO_H_
