#include "KVService/block/location_memo.h"

#include <cstring>

namespace kvstore {

const LocationText& LocationMemo::Encode(const LocationCodec& codec, const Container& container,
                                         const PartitionDigest& partition, const BlockId& id) {
  entries_.GrowTo(kEntries);
  uint64_t uniform;
  std::memcpy(&uniform, id.version.digest.data(), sizeof uniform);
  Entry& entry = entries_[uniform % kEntries];
  if (entry.used && entry.codec == codec && entry.id == id) {
    ++hits_;
    return entry.text;
  }
  entry = {true, codec, id, codec.Encode(container, {partition, id.version})};
  return entry.text;
}

}  // namespace kvstore
