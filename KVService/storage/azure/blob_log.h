// A container's shared log, followed and written (log_format.h): how servers on one container learn
// of each other's blobs without asking for each.
//
// Generations. Servers append to the youngest generation. One that has grown enough, or that has
// many appends and a quarter of the size of all before it, gets a record "rolled", upon which
// everybody goes on in the next; both are followed. When the old one has been quiet for a while, a
// server compacts it (log_compaction.h) and deletes it, on the condition that nothing was appended
// since: so nothing is lost, whoever races, pauses or dies.
#ifndef KVSERVICE_STORAGE_AZURE_BLOB_LOG_H_
#define KVSERVICE_STORAGE_AZURE_BLOB_LOG_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "KVService/storage/azure/blob_container.h"
#include "KVService/storage/azure/log_format.h"
#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace kvstore::azure {

struct BlobLogOptions {
  absl::Duration poll = absl::Milliseconds(500);
  absl::Duration request_timeout = absl::Seconds(5);
  absl::Duration stale = absl::Seconds(3);           // without a good poll: not up to date
  uint64_t roll_bytes = 32ull << 20;                 // of a generation
  uint64_t roll_batches = 40'000;                    // an append blob takes 50,000 appends
  uint64_t roll_early_batches = 4'000;               // where compacting it costs little
  absl::Duration compact_after = absl::Seconds(10);  // of quiet; and a random part of that more
  size_t max_queued_bytes = 16u << 20;               // of records that could not be appended yet
  // The wall clock, which may be set either way at any time. Thread-safe.
  std::function<absl::Time()> now = absl::Now;
};

struct BlobLogStats {
  uint64_t generation = 0;
  uint64_t records_read = 0;
  uint64_t records_appended = 0;
  uint64_t records_dropped = 0;  // the log was away for longer than the queue could hold
  uint64_t damaged_bytes = 0;
  uint64_t compactions = 0;  // by this process
  size_t queued_records = 0;
  absl::Duration age = absl::InfiniteDuration();  // of what is known: since the last good poll
};

// Thread-safe. Has a thread of its own, which sends one request after the other.
class BlobLog {
 public:
  using Listener = std::function<void(std::vector<LogRecord>)>;
  using Done = absl::AnyInvocable<void(absl::Status) &&>;
  // Visits a put for each blob of the container, by listing it. Blocks.
  using Lister = std::function<absl::Status(const std::function<void(LogRecord)>& visit)>;

  // `prefix` stands before the log's blob names. `listener` hears every record, of a snapshot
  // first, on the log's thread; more than once where the log had to be read anew. It may be empty.
  // `lister` serves where the log has lost its beginning.
  BlobLog(std::shared_ptr<BlobContainer> container, std::string prefix, BlobLogOptions options,
          Listener listener, Lister lister);
  // Ends once the request that runs has, and one more try for the records that are still queued.
  ~BlobLog();
  BlobLog(const BlobLog&) = delete;
  BlobLog& operator=(const BlobLog&) = delete;

  // Runs `done` when the log has been read once: OK, or why it could not be; reading is tried again
  // all the same.
  void WhenRead(Done done);

  // Appends a record. `done` runs once it is there, or with UNAVAILABLE where the log is away: it
  // is then kept and tried again.
  void Append(LogRecord record, Done done);

  bool UpToDate() const;
  BlobLogStats stats() const;

 private:
  struct Tail {
    uint64_t generation = 0;
    uint64_t offset = 0;
    uint64_t batches = 0;
    bool rolled = false;
    absl::Time quiet_since;
  };
  struct Queued {
    LogRecord record;
    Done done;
  };

  void Run();
  bool PollDue() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool MayGoOn() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Note(const absl::Status& status);

  // The rest is the thread's alone.
  absl::Status Open();
  absl::Status Poll();
  absl::Status ReadTail(size_t at);
  absl::Status ReadSnapshots(uint64_t generation);
  absl::Status OnCompacted(size_t at);
  absl::Status Begin(uint64_t generation);
  absl::Status AppendQueued();
  bool HasGrownEnough(const Tail& tail) const;
  void CompactIfDue();
  void Tell(std::vector<LogRecord> records);

  const std::shared_ptr<BlobContainer> container_;
  const std::string prefix_;
  const BlobLogOptions options_;
  const Listener listener_;
  const Lister lister_;

  std::vector<Tail> tails_;     // oldest first
  uint64_t settled_bytes_ = 0;  // of the snapshot that they follow, or more where much was deleted
  bool open_ = false;
  std::thread compaction_;
  std::atomic<bool> compacting_ = false;
  std::atomic<uint64_t> compactions_ = 0;
  double jitter_ = 0;
  std::atomic<bool> stop_ = false;

  mutable absl::Mutex mutex_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  bool healthy_ ABSL_GUARDED_BY(mutex_) = false;
  bool tried_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status last_status_ ABSL_GUARDED_BY(mutex_);
  absl::Time last_good_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  absl::Time polled_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  std::vector<Done> waiting_ ABSL_GUARDED_BY(mutex_);
  std::deque<Queued> queue_ ABSL_GUARDED_BY(mutex_);
  size_t queued_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool append_now_ ABSL_GUARDED_BY(mutex_) = false;
  BlobLogStats stats_ ABSL_GUARDED_BY(mutex_);

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace kvstore::azure

#endif  // KVSERVICE_STORAGE_AZURE_BLOB_LOG_H_
