// A BlobStore in memory, for the tests of what stands on one.
#ifndef KVSERVICE_STORAGE_MEMORY_MEMORY_BLOB_STORE_H_
#define KVSERVICE_STORAGE_MEMORY_MEMORY_BLOB_STORE_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "KVService/storage/blob_store.h"
#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"

namespace kvstore {

// Thread-safe. Everything happens, and every `done` runs, before the call returns, unless a hook
// says otherwise. A Put's crc32c is kept as given and checked by Get.
class MemoryBlobStore : public BlobStore {
 public:
  // 0: unbounded.
  explicit MemoryBlobStore(uint64_t capacity_bytes = 0);
  ~MemoryBlobStore() override;

  void Put(BlobId id, Blob blob, Patience patience,
           absl::AnyInvocable<void(absl::Status) &&> done) override;
  void Get(BlobId id, Patience patience,
           absl::AnyInvocable<void(absl::StatusOr<Blob>) &&> done) override;
  void Delete(BlobId id, absl::AnyInvocable<void(absl::Status) &&> done) override;
  absl::Status ListUntil(const std::shared_ptr<Cancellation>& end,
                         const std::function<void(BlobInfo)>& visit) override;
  void ListPrefix(BlobId prefix, size_t limit, Patience patience,
                  Done<std::vector<BlobInfo>> done) override;
  BlobStoreUsage Usage() const override;
  uint64_t FootprintOf(const BlobId& id, const Blob& blob) const override;
  absl::Status Close() override;  // releases what is held

  // Hooks. A failure stands for one call, that then does nothing; several queue up.
  void FailNextPut(absl::Status status);
  void FailNextGet(absl::Status status);
  void FailNextDelete(absl::Status status);
  size_t delete_failures_left() const;

  // From here on calls take effect at once and yet their `done` is held, until Release, which runs
  // those held, in order, on its thread, and holds no more.
  void HoldCallbacks();
  void ReleaseCallbacks();
  size_t held_callbacks() const;

  void SetCapacity(uint64_t bytes) {
    absl::MutexLock lock(&mutex_);
    capacity_bytes_ = bytes;
  }

  // Flips a bit of the stored data, so that the next Get is DATA_LOSS. False: no such blob.
  bool Corrupt(const BlobId& id);

 private:
  using Callback = absl::AnyInvocable<void() &&>;

  absl::Status CheckOpen() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status DoPut(const BlobId& id, Blob blob, absl::Time deadline) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<Blob> DoGet(const BlobId& id, absl::Time deadline) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status DoDelete(const BlobId& id) ABSL_LOCKS_EXCLUDED(mutex_);
  void Finish(Callback callback) ABSL_LOCKS_EXCLUDED(mutex_);

  mutable absl::Mutex mutex_;
  uint64_t capacity_bytes_ ABSL_GUARDED_BY(mutex_);  // 0: unbounded
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  bool holding_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t used_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::flat_hash_map<std::string, std::pair<BlobId, Blob>> blobs_ ABSL_GUARDED_BY(mutex_);
  std::deque<absl::Status> put_failures_ ABSL_GUARDED_BY(mutex_);
  std::deque<absl::Status> get_failures_ ABSL_GUARDED_BY(mutex_);
  std::deque<absl::Status> delete_failures_ ABSL_GUARDED_BY(mutex_);
  std::vector<Callback> held_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace kvstore

#endif  // KVSERVICE_STORAGE_MEMORY_MEMORY_BLOB_STORE_H_
