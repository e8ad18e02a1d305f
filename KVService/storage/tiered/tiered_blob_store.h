// The disk tier: a local BlobStore in front of one that servers share.
//
// Reads come from the local disk where it has the blob, else from the remote store, and are then
// kept locally. What exists is what the remote store holds, and beside it what this server has
// acknowledged and not uploaded yet (write-back): the *pending* blobs. Everything else in the local
// store is a copy that may be dropped at any time.
//
// Write-through, the default: a Put is acknowledged once the remote store has it.
//
// Write-back: a Put is acknowledged once the local store has it as durably as that store promises,
// and uploaded afterwards, in no order. A marker (pending_marker.h) is put into the local store
// together with the blob, before the acknowledgement, and removed after the upload, so at no
// instant is an acknowledged blob neither uploaded nor marked; Open finds the markers and uploads
// on. The price: of two servers that put one name, both may be told OK. Among the puts of one
// server the first wins at once, among servers the first upload; the others' uploads find the name
// taken, which counts as uploaded, and drop their local copy. So use it where the bytes of all
// writers of one name are equally good, as those of a KV-cache block are. An upload that a crash
// cut off may bring back a blob that another server has deleted since.
// A Put goes through all the same (it is never refused for the tier's sake, only slower) where
//   - servers must agree on the blob: its account is "-", or its name begins with kReservedNames;
//   - pending blobs have reached max_pending_bytes or max_pending_blobs, or the local disk is full
//     or failing;
//   - a local copy has the name already, which tells nothing of the remote store.
//
// A local copy of what another server has deleted may be read until it is evicted: the content of
// a name never changes, and an index above decides what exists.
#ifndef KVSERVICE_STORAGE_TIERED_TIERED_BLOB_STORE_H_
#define KVSERVICE_STORAGE_TIERED_TIERED_BLOB_STORE_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "KVService/storage/shared_blob_store.h"
#include "KVService/storage/tiered/local_copies.h"
#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace kvstore {

struct TieredOptions {
  bool write_back = false;
  uint64_t max_pending_bytes = 4ull << 30;  // of data not uploaded; beyond it puts go through
  size_t max_pending_blobs = 65536;         // likewise
  size_t upload_concurrency = 8;            // 0: nothing is uploaded by this process
  absl::Duration upload_timeout = absl::Seconds(30);  // of an attempt
  // After an upload that failed none is begun for this long, twice as long after each in a row.
  absl::Duration retry_min = absl::Milliseconds(100);
  absl::Duration retry_max = absl::Seconds(30);
  absl::Duration drain = absl::Seconds(10);  // how long Close goes on uploading
  uint64_t max_fill_bytes = 64ull << 20;     // of copies on their way to the local store
  size_t max_operations = 4096;              // not finished; deletes may be as many again
  uint64_t max_put_bytes = 512ull << 20;     // of puts not finished; a single one may be larger
};

struct TieredStats {
  uint64_t local_hits = 0;
  uint64_t local_misses = 0;
  uint64_t local_corrupt = 0;  // copies that failed their checksum, and were removed
  uint64_t local_errors = 0;   // reads that failed otherwise; the remote store was asked
  uint64_t remote_gets = 0;    // that found the blob
  uint64_t fills = 0;          // copies made
  uint64_t fill_failures = 0;
  uint64_t fills_skipped = 0;  // no room, too many under way, or the name was busy
  uint64_t evictions = 0;
  uint64_t local_blobs = 0;
  uint64_t local_bytes = 0;  // footprints in the local store
  uint64_t local_capacity_bytes = 0;
  uint64_t pending_blobs = 0;
  uint64_t pending_bytes = 0;
  absl::Duration oldest_pending_age = absl::ZeroDuration();  // since its Put, or Open
  uint64_t pending_damaged = 0;  // only copy unreadable: acknowledged and lost
  uint64_t running_uploads = 0;
  uint64_t uploads = 0;
  uint64_t upload_failures = 0;  // attempts
  uint64_t write_throughs = 0;   // in write-back mode: puts that went through all the same
};

// Thread-safe. `done` runs on the caller's thread, one of either store's or the tier's own. Puts
// and Deletes of one name run one after the other. Concurrent Gets of one blob each ask the remote
// store: ChunkStore, above, lets them share a fetch already. Ids of account "-", container
// "pending" are the tier's own: INVALID_ARGUMENT.
//   Get        DATA_LOSS where only a damaged copy is left; what else fails locally is asked of
//              the remote store
//   Delete     fails, and changes nothing, where the remote store cannot be asked
//   Usage      the remote store's and the pending blobs; counts a blob twice while it is uploaded
class TieredBlobStore : public SharedBlobStore {
 public:
  // Lists the local store, which nobody else may use; blocks on it and not on the network.
  static absl::StatusOr<std::unique_ptr<TieredBlobStore>> Open(
      TieredOptions options, std::unique_ptr<BlobStore> local,
      std::unique_ptr<SharedBlobStore> remote);

  // As Close. REQUIRES: not from a `done` of this store.
  ~TieredBlobStore() override;

  void Put(BlobId id, Blob blob, Patience patience,
           absl::AnyInvocable<void(absl::Status) &&> done) override;
  void Get(BlobId id, Patience patience,
           absl::AnyInvocable<void(absl::StatusOr<Blob>) &&> done) override;
  void Delete(BlobId id, absl::AnyInvocable<void(absl::Status) &&> done) override;

  // The pending blobs and then the remote's. Blocks on the network. `visit` must not call Close.
  absl::Status ListUntil(const std::shared_ptr<Cancellation>& end,
                         const std::function<void(BlobInfo)>& visit) override;
  BlobStoreUsage Usage() const override;
  uint64_t FootprintOf(const BlobId& id, const Blob& blob) const override;

  void Follow(const std::string& account, const std::string& container, BlobListener* listener,
              absl::Time deadline, FollowDone done) override;
  bool UpToDate(const std::string& account, const std::string& container) const override;
  void FindLocal(size_t count, absl::FunctionRef<BlobId(size_t)> id,
                 absl::FunctionRef<void(size_t)> found) const override;
  void Stat(BlobId id, Patience patience, Done<BlobInfo> done) override;
  void ListPrefix(BlobId prefix, size_t limit, Patience patience,
                  Done<std::vector<BlobInfo>> done) override;

  // Of a blob that is pending here nothing is told: it is on its way.
  void TellGone(const BlobId& id) override;

  // The pending blobs, and, as lost, those that were found at Open to be marked and gone.
  absl::Status Lease(const std::string& account, const std::string& container,
                     int seconds) override {
    return remote_->Lease(account, container, seconds);
  }
  absl::Status ListUnshared(const std::function<void(BlobInfo)>& visit) override;

  // Waits for what runs, then for uploads until they are done, one fails, or the drain's time is
  // over; what is pending then waits for the next Open. Closes both stores.
  // FAILED_PRECONDITION from a `done` of this store.
  absl::Status Close() override;

  // Drops a copy that the local store found damaged, so that the next Get fetches it anew. A blob
  // that is still to be uploaded has no other copy and stays, for its upload to tell.
  void DropDamaged(const BlobId& id) ABSL_LOCKS_EXCLUDED(mutex_);

  // Blocks until nothing is left to upload. DEADLINE_EXCEEDED: something is.
  absl::Status WaitForUploads(absl::Time deadline);

  TieredStats stats() const;

 private:
  struct Op;     // a Put, a Delete or an upload: what needs a name for itself
  struct GetOp;  // needs none
  using OpPtr = std::unique_ptr<Op>;
  using GetPtr = std::unique_ptr<GetOp>;
  using Next = absl::AnyInvocable<void(absl::Status) &&>;
  enum class Way { kThere, kBack, kThrough, kFull };

  TieredBlobStore(TieredOptions options, std::unique_ptr<BlobStore> local,
                  std::unique_ptr<SharedBlobStore> remote);
  absl::Status LoadCopies() ABSL_LOCKS_EXCLUDED(mutex_);
  void Adopt(const BlobInfo& info, bool pending) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Calls.
  absl::Status Begin(size_t limit, uint64_t put_bytes) ABSL_LOCKS_EXCLUDED(mutex_);
  void End() ABSL_LOCKS_EXCLUDED(mutex_);
  template <typename Callback, typename Result>
  void Answer(Callback done, Result result);

  // Names: the holder of one runs, others wait for it and go on on the tier's thread.
  void Acquire(OpPtr op) ABSL_LOCKS_EXCLUDED(mutex_);
  void Release(const std::string& key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void RunOp(OpPtr op);
  void Finish(OpPtr op, absl::Status status) ABSL_LOCKS_EXCLUDED(mutex_);

  // Get.
  void LocalGot(GetPtr op, absl::StatusOr<Blob> result);
  void DropUnreadable(GetPtr op) ABSL_LOCKS_EXCLUDED(mutex_);
  void Fetch(GetPtr op) ABSL_LOCKS_EXCLUDED(mutex_);
  void Fetched(GetPtr op, absl::StatusOr<Blob> result) ABSL_LOCKS_EXCLUDED(mutex_);

  // Put and Delete.
  Way WayOf(const Op& op) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void RunPut(OpPtr op);
  void PutBack(OpPtr op);
  void PutBackDone(OpPtr op);
  void PutThrough(OpPtr op);
  void PutThroughDone(OpPtr op, absl::Status status);
  void RefusePut(OpPtr op);
  void AnswerAndFill(OpPtr op);
  void RunDelete(OpPtr op);
  void RemoteDeleted(OpPtr op, absl::Status status);

  // Copies. All with the name held.
  bool AddForFill(const std::string& key, const BlobId& id, const Blob& blob)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Fill(std::string key, BlobId id, Blob blob, absl::AnyInvocable<void() &&> then);
  // Deletes the copy, and its marker where it has one. OK, to `next`, once both are gone.
  void DropCopy(std::string key, BlobId id, bool marked, Next next);
  // Room for `need` more bytes, and below the high water, is to be made.
  void MakeRoom(uint64_t need) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // The tier's thread.
  void Run();
  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Time NextDue() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool UploadDue() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool EvictionDue() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool UploadsDone() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool Crowded() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::vector<OpPtr> TakeUploads() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::vector<std::pair<std::string, BlobId>> TakeEvictions() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Evict(std::string key, BlobId id);
  void RunUpload(OpPtr op);
  void SendUpload(OpPtr op, absl::StatusOr<Blob> blob);
  void Uploaded(OpPtr op, absl::Status status) ABSL_LOCKS_EXCLUDED(mutex_);
  void UploadFailed(OpPtr op, const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);
  void EndUpload(OpPtr op) ABSL_LOCKS_EXCLUDED(mutex_);
  bool InCallback() const;

  const TieredOptions options_;
  const std::unique_ptr<BlobStore> local_;
  const std::unique_ptr<SharedBlobStore> remote_;
  std::vector<BlobId> lost_;  // set by Open

  absl::Mutex close_mutex_ ABSL_ACQUIRED_BEFORE(mutex_);
  bool close_done_ ABSL_GUARDED_BY(close_mutex_) = false;
  absl::Status close_status_ ABSL_GUARDED_BY(close_mutex_);

  mutable absl::Mutex mutex_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;  // to callers
  absl::Time drain_until_ ABSL_GUARDED_BY(mutex_) =
      absl::InfiniteFuture();  // Close waits for uploads
  bool drain_failed_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;  // no more uploads and evictions
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;   // the thread ends
  size_t operations_ ABSL_GUARDED_BY(mutex_) = 0;  // with the fills behind them
  uint64_t put_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t fill_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  tiered::LocalCopies copies_ ABSL_GUARDED_BY(mutex_);
  TieredStats stats_ ABSL_GUARDED_BY(mutex_);  // the counters of it

  // The names that are held, with those that wait for each; and those that waited long enough.
  absl::flat_hash_map<std::string, std::deque<OpPtr>> busy_ ABSL_GUARDED_BY(mutex_);
  std::deque<OpPtr> ready_ ABSL_GUARDED_BY(mutex_);

  // The names that the remote store is asked for, and how many Deletes of each have ended since:
  // what was fetched before one must not become a copy after it.
  struct Fetching {
    size_t running = 0;
    uint64_t deletes = 0;
  };
  absl::flat_hash_map<std::string, Fetching> fetching_ ABSL_GUARDED_BY(mutex_);

  // Puts that are to become pending.
  uint64_t reserved_bytes_ ABSL_GUARDED_BY(mutex_) = 0;      // of data
  uint64_t reserved_footprint_ ABSL_GUARDED_BY(mutex_) = 0;  // the remote's
  size_t reserved_blobs_ ABSL_GUARDED_BY(mutex_) = 0;

  std::multimap<absl::Time, std::string> upload_queue_ ABSL_GUARDED_BY(mutex_);
  size_t running_uploads_ ABSL_GUARDED_BY(mutex_) = 0;
  int failures_in_a_row_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Time upload_pause_until_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();

  uint64_t untracked_bytes_ ABSL_GUARDED_BY(mutex_) = 0;  // of blobs that are not the tier's
  uint64_t evict_down_to_ ABSL_GUARDED_BY(mutex_) = UINT64_MAX;
  size_t running_evictions_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Time evict_pause_until_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  bool wake_ ABSL_GUARDED_BY(mutex_) = false;  // NextDue has changed

  std::thread thread_;  // last: it uses the others
};

}  // namespace kvstore

#endif  // KVSERVICE_STORAGE_TIERED_TIERED_BLOB_STORE_H_
