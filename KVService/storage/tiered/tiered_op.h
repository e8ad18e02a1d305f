// What the parts of TieredBlobStore share: its operations, and the mark of its callbacks.
#ifndef KVSERVICE_STORAGE_TIERED_TIERED_OP_H_
#define KVSERVICE_STORAGE_TIERED_TIERED_OP_H_

#include <atomic>
#include <string>
#include <utility>

#include "KVService/storage/tiered/tiered_blob_store.h"

namespace kvstore {

struct TieredBlobStore::Op {
  enum class Kind { kPut, kDelete, kUpload, kDropMarker };

  Kind kind;
  BlobId id;
  std::string key;
  Blob blob;
  Patience patience = absl::InfiniteFuture();
  absl::AnyInvocable<void(absl::Status) &&> done;
  uint64_t put_bytes = 0;  // counted in put_bytes_

  // Of a Put to the local store: blob and marker are under way together.
  uint64_t footprint = 0;  // of both
  std::atomic<int> left = 0;
  absl::Status blob_status;
  absl::Status marker_status;
};

struct TieredBlobStore::GetOp {
  BlobId id;
  std::string key;
  Patience patience;
  absl::AnyInvocable<void(absl::StatusOr<Blob>) &&> done;

  absl::Status local_status;  // why the local copy could not be read
  bool was_pending = false;
  uint64_t deletes = 0;  // of the name, when the remote store was asked
};

namespace tiered {

// The store whose callback this thread is in.
inline thread_local const TieredBlobStore* in_callback_of = nullptr;

}  // namespace tiered

template <typename Callback, typename Result>
void TieredBlobStore::Answer(Callback done, Result result) {
  const TieredBlobStore* const outer = std::exchange(tiered::in_callback_of, this);
  std::move(done)(std::move(result));
  tiered::in_callback_of = outer;
}

}  // namespace kvstore

#endif  // KVSERVICE_STORAGE_TIERED_TIERED_OP_H_
