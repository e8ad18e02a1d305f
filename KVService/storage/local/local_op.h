// One Put or Delete under way; for the sources of LocalBlobStore alone.
#ifndef KVSERVICE_STORAGE_LOCAL_LOCAL_OP_H_
#define KVSERVICE_STORAGE_LOCAL_LOCAL_OP_H_

#include <memory>
#include <string>

#include "KVService/storage/local/local_blob_store.h"
#include "KVService/storage/local/record.h"
#include "KVService/storage/local/segments.h"

namespace kvstore {

struct LocalBlobStore::Op {
  enum class Kind { kPut, kDelete };

  Kind kind;
  std::string key;
  Blob blob;
  absl::Time deadline = absl::InfiniteFuture();
  absl::AnyInvocable<void(absl::Status) &&> done;

  // Known once it runs.
  std::shared_ptr<local::Segment> segment;
  local::RecordLocation location;
  uint64_t footprint = 0;

  local::FreeExtent extent() const { return {location.segment, location.offset, footprint}; }
};

namespace local {

// The contract's codes: what the file system or RocksDB calls it is of no use to the caller.
absl::Status AsDeviceError(const absl::Status& status);

}  // namespace local
}  // namespace kvstore

#endif  // KVSERVICE_STORAGE_LOCAL_LOCAL_OP_H_
