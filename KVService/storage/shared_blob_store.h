// SharedBlobStore: a BlobStore that other processes put into and delete from as well, and that says
// what they did. It knows names and bytes, not what they mean.
#ifndef KVSERVICE_STORAGE_SHARED_BLOB_STORE_H_
#define KVSERVICE_STORAGE_SHARED_BLOB_STORE_H_

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "KVService/storage/blob_store.h"
#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace kvstore {

// A blob whose name begins so is one that all servers must agree on, such as a container's key: its
// Put is not acknowledged before all can see it, and it is read where it was put.
inline constexpr std::string_view kReservedNames = "-/";

struct BlobChange {
  BlobInfo blob;         // of a deleted one the name only
  bool deleted = false;  // else put
};

// Hears what happens to the blobs of the containers that are followed.
class BlobListener {
 public:
  virtual ~BlobListener() = default;

  // In the order of the container's log, never two calls at once for one container, on a thread of
  // the store's. A change may be told more than once, and this process's own are told too. Must not
  // block.
  virtual void OnChanges(std::span<const BlobChange> changes) = 0;
};

// Thread-safe; callbacks as for BlobStore.
class SharedBlobStore : public BlobStore {
 public:
  using FollowDone = absl::AnyInvocable<void(absl::Status) &&>;

  // Begins to tell `listener` of a container's blobs: first all that there are, then what changes,
  // within about a second. OK once all have been told; an error, where that cannot be (now), ends
  // nothing: it is tried again until it can. Further calls for a container that is followed answer
  // as soon as the first would. The listener outlives Close.
  virtual void Follow(const std::string& account, const std::string& container,
                      BlobListener* listener, absl::Time deadline, FollowDone done) = 0;

  // Whether all that was put into a followed container until a few seconds ago has been told.
  virtual bool UpToDate(const std::string& account, const std::string& container) const = 0;

  // Tells which of `count` blobs a Get would answer from a local disk. Asks for no id where there
  // is no such tier: making one costs more than looking it up.
  virtual void FindLocal(size_t /*count*/, absl::FunctionRef<BlobId(size_t)> /*id*/,
                         absl::FunctionRef<void(size_t)> /*found*/) const {}

  // What List would say of one blob. NOT_FOUND where there is none.
  virtual void Stat(BlobId id, Patience patience, Done<BlobInfo> done) = 0;

  // Tells all who follow the container that a blob is gone, as somebody found who asked for it.
  virtual void TellGone(const BlobId& id) = 0;

  // The right to keep a container in order, which one server has at a time; for `seconds`, 15 to
  // 60, from now on; asked again it is renewed. Given back by Close. ABORTED while another has it.
  // Blocks on the network.
  virtual absl::Status Lease(const std::string& account, const std::string& container,
                             int seconds) = 0;

  // Visits the blobs that this process holds and the others cannot see yet, as List.
  virtual absl::Status ListUnshared(const std::function<void(BlobInfo)>& visit) = 0;
};

}  // namespace kvstore

#endif  // KVSERVICE_STORAGE_SHARED_BLOB_STORE_H_
