// BlobStore: named immutable bytes, put once, read whole, deleted. What the tiers below ChunkStore
// have in common; it knows nothing of chunks, prefixes or gRPC.
#ifndef KVSERVICE_STORAGE_BLOB_STORE_H_
#define KVSERVICE_STORAGE_BLOB_STORE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "KVCommon/patience.h"
#include "KVCommon/slice.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace kvstore {

// Where a blob lives: account and container, then its name. Names are text, at most 512 bytes in
// all three, without NUL.
struct BlobId {
  std::string account;
  std::string container;
  std::string name;

  bool operator==(const BlobId&) const = default;
};

struct Blob {
  Slice data;              // never empty
  uint32_t crc32c = 0;     // of `data`: checked by a store at every read, kept by those above it
  std::string attributes;  // up to kMaxBlobAttributes bytes that List gives back with the name
  bool remote = false;     // of what Get gives: it came over the network
};

inline constexpr size_t kMaxBlobAttributes = 64;

// One line of a listing.
struct BlobInfo {
  BlobId id;
  uint64_t size = 0;       // of the data
  uint64_t footprint = 0;  // what the store's capacity is charged for it
  std::string attributes;

  // The store found at its opening that the blob's data is gone, and has dropped it: listed so that
  // what depends on it can go too. Size, footprint and attributes say nothing.
  bool lost = false;
};

struct BlobStoreUsage {
  uint64_t blobs = 0;
  uint64_t used_bytes = 0;      // sum of the footprints
  uint64_t capacity_bytes = 0;  // 0: unbounded
};

// Thread-safe. Each `done` runs exactly once, outside locks, on a thread of the store's or before
// the call returns. Codes have gRPC's meaning:
//   NOT_FOUND            no such blob (without a message: a miss is no news)
//   ALREADY_EXISTS       Put only, without a message: the name is taken and nothing was stored
//   DATA_LOSS            the stored bytes fail their checksum or are cut short
//   RESOURCE_EXHAUSTED   the store's queue or its disk is full; try again later
//   DEADLINE_EXCEEDED    the deadline passed before the work began
//   UNAVAILABLE, INTERNAL  the device or service failed: the message says where and what
class BlobStore {
 public:
  template <typename T>
  using Done = absl::AnyInvocable<void(absl::StatusOr<T>) &&>;

  virtual ~BlobStore() = default;

  // Stores the blob under a name that nothing has yet: of any number of racing puts one wins and
  // the others get ALREADY_EXISTS. OK says that the blob is as durable as the store promises, and
  // that a crash at any instant leaves the whole blob or none.
  virtual void Put(BlobId id, Blob blob, Patience patience,
                   absl::AnyInvocable<void(absl::Status) &&> done) = 0;

  // The whole blob, its checksum verified. CANCELLED where it takes long and is cancelled
  // meanwhile.
  virtual void Get(BlobId id, Patience patience,
                   absl::AnyInvocable<void(absl::StatusOr<Blob>) &&> done) = 0;

  // Removes the blob; NOT_FOUND where there is none. Gets that run see all of it or NOT_FOUND.
  virtual void Delete(BlobId id, absl::AnyInvocable<void(absl::Status) &&> done) = 0;

  // Visits every blob of the store, in no order, on the calling thread. Blobs put or deleted
  // meanwhile may or may not be seen.
  absl::Status List(const std::function<void(BlobInfo)>& visit) {
    return ListUntil(nullptr, visit);
  }
  // The same, until it is cancelled: then CANCELLED, soon. `end` may be null.
  virtual absl::Status ListUntil(const std::shared_ptr<Cancellation>& end,
                                 const std::function<void(BlobInfo)>& visit) = 0;

  // The blobs whose names begin with `prefix`, at most `limit`, from the store itself. A store on a
  // disk answers before the call returns, and blocks on it.
  virtual void ListPrefix(BlobId prefix, size_t limit, Patience patience,
                          Done<std::vector<BlobInfo>> done) = 0;

  virtual BlobStoreUsage Usage() const = 0;

  // What a Put of that many bytes would add to used_bytes, at most.
  virtual uint64_t FootprintOf(const BlobId& id, const Blob& blob) const = 0;

  // Refuses further work, waits for what runs, and makes all of it durable. Idempotent.
  virtual absl::Status Close() = 0;
};

}  // namespace kvstore

#endif  // KVSERVICE_STORAGE_BLOB_STORE_H_
