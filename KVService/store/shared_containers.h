// The containers of a shared store that this server uses, each opened at its first use: the key of
// its locations is fetched (or made), and its log followed.
#ifndef KVSERVICE_STORE_SHARED_CONTAINERS_H_
#define KVSERVICE_STORE_SHARED_CONTAINERS_H_

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "KVService/block/location.h"
#include "KVService/storage/shared_blob_store.h"
#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"

namespace kvstore {

// Thread-safe.
class SharedContainers {
 public:
  using Done = absl::AnyInvocable<void(absl::StatusOr<const LocationCodec*>) &&>;
  // Reading asks whether a container is there; only writing makes it.
  enum class Use { kRead, kWrite };

  // Both outlive this. A store that nobody shares gives null, and opens no container.
  SharedContainers(SharedBlobStore* storage, BlobListener* listener)
      : storage_(storage), listener_(*listener) {}

  // The container's codec, which lives as long as this. NOT_FOUND, without a message, to a reader
  // of a container that nobody has written to. UNAVAILABLE and the like where the storage is; the
  // next call tries again. A log that cannot be read is no error: then the storage is not UpToDate.
  // `done` runs before the call returns where the container is open.
  void Open(const Container& container, Use use, Done done);

 private:
  struct Entry {
    std::unique_ptr<LocationCodec> codec;  // once open
    absl::Time missing_until = absl::InfinitePast();
    bool opening = false;
    std::vector<std::pair<Use, Done>> waiting;
  };

  void FetchKey(const Container& container, Use use, int attempts);
  void MakeKey(const Container& container, int attempts);
  void KeyFetched(const Container& container, absl::StatusOr<LocationCodec::Key> key);
  void Opened(const Container& container, absl::StatusOr<LocationCodec::Key> key);

  SharedBlobStore* const storage_;
  BlobListener& listener_;
  absl::Mutex mutex_;
  std::map<std::pair<std::string, std::string>, Entry> entries_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace kvstore

#endif  // KVSERVICE_STORE_SHARED_CONTAINERS_H_
