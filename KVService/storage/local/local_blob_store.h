// The embedded store: a directory of segment files for the payloads and RocksDB for what is where.
//
//   LOCK                  held while the store is open: one process at a time
//   FORMAT, FORMAT.copy   "kvstore-local 1", twice: one of them may rot
//   CLOSED                after a Close, how much there was
//   segments/000001.seg   append-only records (record.h), preallocated
//   index/                RocksDB: account/container/name -> segment, offset, size, CRC, attributes
//   index.damaged/        what index/ was when it was found damaged and made anew (rebuild.h)
//
// A Put writes its payload, makes it durable as promised, then its metadata, then says OK; so a
// crash leaves at worst bytes that nothing names, and Open cuts those off. A Delete removes the
// metadata; the record's space is written over by a later record of the same footprint, or its hole
// is punched, once that removal is durable. The last record of a full segment takes the file with
// it. Nothing is ever moved: no compaction, no write amplification.
#ifndef KVSERVICE_STORAGE_LOCAL_LOCAL_BLOB_STORE_H_
#define KVSERVICE_STORAGE_LOCAL_LOCAL_BLOB_STORE_H_

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "KVService/platform/async_reader.h"
#include "KVService/platform/file.h"
#include "KVService/platform/queue_load.h"
#include "KVService/platform/thread_pool.h"
#include "KVService/storage/blob_store.h"
#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace kvstore {

namespace local {
class Committer;
class Metadata;
class Scrubber;
class SegmentSet;
struct CommitResult;
struct Recovered;
struct RecordLocation;
}  // namespace local

// What a Put's OK promises. Every setting survives the end of the process, however sudden.
enum class Durability {
  kNone,   // nothing about a crash of the machine: what was lost is a miss
  kBatch,  // survives it; puts that wait at the same time share their syncs
  kEach,   // survives it; every put syncs for itself
};

// Which way Gets take (docs/BENCHMARKS.md says what each costs).
enum class DiskReads {
  kAuto,       // what the page cache has comes from there, the rest directly: it is cached above
  kPageCache,  // through the page cache always
  kDirect,     // past the page cache always
};

struct LocalOptions {
  std::string directory;        // made if it is not there; its parents too
  uint64_t capacity_bytes = 0;  // of footprints; 0: unbounded. The disk needs one segment more
  Durability durability = Durability::kBatch;
  size_t read_threads = 4;
  size_t write_threads = 2;
  size_t max_pending = 4096;  // operations that are not finished; deletes may be as many again
  uint64_t max_pending_put_bytes = 256ull << 20;  // of data; a single put may be larger
  uint64_t segment_bytes = 0;  // 0: a 16th of the capacity, between 8 and 256 MiB
  // Of deleted records, kept to be written over; as much again may wait for its deletion to be
  // durable, and the disk needs both beside the capacity. None: a 32nd of it, 64 MiB to 1 GiB.
  std::optional<uint64_t> recycle_bytes;
  DiskReads reads = DiskReads::kAuto;
  AsyncIo io = AsyncIo::kAuto;
  // Metadata that is damaged is made anew from the segments. It cannot tell then whether a blob was
  // deleted: this says of which it does no harm to bring it back; empty: of all.
  std::function<bool(const BlobInfo&)> may_return;
  FileSystem* files = nullptr;  // nullptr: RealFileSystem(). Outlives the store
};

struct ScrubOptions {
  uint64_t bytes_per_second = 0;  // 0: as fast as the disk reads
  // Told of a blob that fails its checks, or that the device cannot read while it can read others:
  // who keeps the store removes it from there, and from wherever else it counts as being here. On
  // the scrubber's thread; not called twice at once.
  std::function<void(const BlobId&)> damaged;
  // For tests. Empty: the clock, and a wait that Close ends. Sleep says false where it was ended.
  std::function<absl::Time()> now;
  std::function<bool(absl::Duration)> sleep;
};

struct ScrubStats {
  uint64_t bytes = 0;   // checked, as footprints
  uint64_t errors = 0;  // records that failed, each time
  uint64_t passes = 0;  // over all that is stored
  uint64_t records = 0;
};

struct LocalQueues {
  QueueLoad reads;    // for and on its threads, whichever way they read
  QueueLoad device;   // reads past the page cache: the disk has the running ones
  QueueLoad writes;   // for and on its threads
  QueueLoad commits;  // written, and to be made durable together (kBatch)
  QueueLoad deletes;
};

// What Open found and put right.
struct RecoveryReport {
  uint64_t records = 0;
  uint64_t bytes = 0;             // their footprints
  uint64_t tail_bytes_cut = 0;    // preallocated or unindexed, behind the last records
  uint64_t dangling_dropped = 0;  // blobs whose payload was missing or too short; List says which
  // The metadata was damaged and was made anew. Blobs that List does not call lost may be gone too.
  bool rebuilt = false;
  int64_t milliseconds = 0;
};

// Thread-safe. Puts, gets and deletes never block the caller; `done` runs on a thread of the store,
// or before the call returns when it is refused. Puts and Deletes of one name run one after the
// other, in the order they came. A Put's crc32c is stored as given, so that it proves the data from
// where it was computed to where it is read. A Delete is durable with the next Put or Close that
// is; until then a crash of the machine may bring the whole blob back.
class LocalBlobStore : public BlobStore {
 public:
  // Blocks. FAILED_PRECONDITION: another opener has the directory, or its format is unknown;
  // INVALID_ARGUMENT: the options.
  static absl::StatusOr<std::unique_ptr<LocalBlobStore>> Open(LocalOptions options);

  // As Close. REQUIRES: not from a `done` of this store.
  ~LocalBlobStore() override;

  void Put(BlobId id, Blob blob, Patience patience,
           absl::AnyInvocable<void(absl::Status) &&> done) override;
  void Get(BlobId id, Patience patience,
           absl::AnyInvocable<void(absl::StatusOr<Blob>) &&> done) override;
  void Delete(BlobId id, absl::AnyInvocable<void(absl::Status) &&> done) override;

  // `visit` must not call Close. Blocks on the disk.
  absl::Status ListUntil(const std::shared_ptr<Cancellation>& end,
                         const std::function<void(BlobInfo)>& visit) override;
  void ListPrefix(BlobId prefix, size_t limit, Patience patience,
                  Done<std::vector<BlobInfo>> done) override;

  BlobStoreUsage Usage() const override;
  uint64_t FootprintOf(const BlobId& id, const Blob& blob) const override;

  // Work that comes later is UNAVAILABLE. FAILED_PRECONDITION from a `done` of this store, which
  // it would wait for.
  absl::Status Close() override;

  // Begins to check what is stored, all of it, again and again, at a rate (local/scrubber.h). Until
  // Close. Once, before other threads may call Close. REQUIRES: bytes_per_second > 0.
  void StartScrub(ScrubOptions scrub);
  ScrubStats scrub_stats() const;
  // The same once, now, on this thread: until all is checked, the store closes, or `go_on`, which
  // is told how far it is, says false. UNAVAILABLE where the device cannot be read.
  absl::Status CheckAll(ScrubOptions scrub, const std::function<bool(const ScrubStats&)>& go_on)
      ABSL_LOCKS_EXCLUDED(mutex_);

  LocalQueues queues() const ABSL_LOCKS_EXCLUDED(mutex_);

  // Of footprints; 0: unbounded. Nothing goes for it: who keeps the store evicts what is too much.
  void SetCapacity(uint64_t bytes) ABSL_LOCKS_EXCLUDED(mutex_);

  const RecoveryReport& recovery() const { return recovery_; }

 private:
  struct Op;  // a Put or Delete
  struct GetOp;

  explicit LocalBlobStore(LocalOptions options);
  absl::Status Start();
  // Opens metadata_, which is made anew where it is damaged, and says what it holds.
  absl::StatusOr<local::Recovered> OpenMetadata();
  absl::Status MarkClosed() ABSL_LOCKS_EXCLUDED(mutex_);

  // Counts one more operation, or says why not.
  absl::Status Admit(size_t limit, uint64_t put_bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Enqueue(std::unique_ptr<Op> op) ABSL_LOCKS_EXCLUDED(mutex_);
  void Submit(std::unique_ptr<Op> op) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void RunPut(std::unique_ptr<Op> op) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status WritePayload(Op& op) ABSL_LOCKS_EXCLUDED(mutex_);
  void CommitPut(std::unique_ptr<Op> op);
  void PutCommitted(std::unique_ptr<Op> op, local::CommitResult result) ABSL_LOCKS_EXCLUDED(mutex_);
  void RunDeletes() ABSL_LOCKS_EXCLUDED(mutex_);
  void DeleteTogether(std::vector<std::unique_ptr<Op>> ops) ABSL_LOCKS_EXCLUDED(mutex_);
  void NoteDamagedMetadata(const absl::Status& damage) ABSL_LOCKS_EXCLUDED(mutex_);
  void SettleFreed();
  void Finish(std::unique_ptr<Op> op, absl::Status status) ABSL_LOCKS_EXCLUDED(mutex_);

  // Visits what the metadata holds under keys that begin so, until `visit` returns false.
  absl::Status Visit(std::string_view prefix, const std::function<bool(BlobInfo)>& visit)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void StartRead(std::unique_ptr<GetOp> op);
  void AfterRead(std::unique_ptr<GetOp> op, absl::Status read);
  void EndRead(std::unique_ptr<GetOp> op, absl::Status read);
  void CheckDamage(std::unique_ptr<GetOp> op, absl::Status damage);
  void FinishGet(std::unique_ptr<GetOp> op, absl::StatusOr<Blob> blob) ABSL_LOCKS_EXCLUDED(mutex_);
  bool OnOwnThread() const;
  bool Idle() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return pending_ == 0; }

  // What is used is all that the disk gives, less the put that it refused: Usage says so for a
  // while, so that who evicts for the capacity evicts for the disk.
  void NoteFullDisk(uint64_t footprint) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const LocalOptions options_;
  RecoveryReport recovery_;
  std::vector<BlobId> lost_;  // found without their data at the opening

  std::unique_ptr<DirectoryLock> directory_lock_;
  std::unique_ptr<local::Metadata> metadata_;
  std::unique_ptr<local::SegmentSet> segments_;

  absl::Mutex close_mutex_ ABSL_ACQUIRED_BEFORE(mutex_);
  bool close_done_ ABSL_GUARDED_BY(close_mutex_) = false;
  absl::Status close_status_ ABSL_GUARDED_BY(close_mutex_);

  mutable absl::Mutex mutex_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  size_t pending_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t pending_put_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  BlobStoreUsage usage_ ABSL_GUARDED_BY(mutex_);
  bool usage_certain_ ABSL_GUARDED_BY(mutex_) = true;  // it is what the metadata holds
  uint64_t full_at_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Time full_until_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  uint64_t reserved_bytes_ ABSL_GUARDED_BY(mutex_) = 0;  // of puts that are not committed yet
  // The names that a Put or Delete is running for, and those that wait for it.
  absl::flat_hash_map<std::string, std::deque<std::unique_ptr<Op>>> busy_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<Op>> deletes_ ABSL_GUARDED_BY(mutex_);  // for RunDeletes
  bool deleting_ ABSL_GUARDED_BY(mutex_) = false;                     // RunDeletes runs or will
  size_t running_deletes_ ABSL_GUARDED_BY(mutex_) = 0;

  // Apart, so that a read never waits behind writes, nor a delete, which makes room for writes. All
  // of them use all of the above.
  std::unique_ptr<local::Committer> committer_;
  std::unique_ptr<ThreadPool> readers_;
  std::unique_ptr<ThreadPool> writers_;
  std::unique_ptr<ThreadPool> deleter_;
  std::unique_ptr<AsyncReader> async_reader_;  // its callbacks use readers_
  std::unique_ptr<local::Scrubber> scrubber_;  // none before StartScrub
};

}  // namespace kvstore

#endif  // KVSERVICE_STORAGE_LOCAL_LOCAL_BLOB_STORE_H_
