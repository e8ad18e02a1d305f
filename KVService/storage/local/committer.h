// Making changes durable, one after the other or a group at a time.
#ifndef KVSERVICE_STORAGE_LOCAL_COMMITTER_H_
#define KVSERVICE_STORAGE_LOCAL_COMMITTER_H_

#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "KVService/platform/queue_load.h"
#include "KVService/storage/local/metadata.h"
#include "KVService/storage/local/segments.h"
#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"

namespace kvstore::local {

enum class CommitOutcome {
  kDone,
  kPayloadLost,  // not in the metadata; the segment can be trusted with nothing more
  kRefused,      // not in the metadata, which takes nothing now
  kUncertain,    // the metadata's write failed: a restart may find the record, so it must stay
};

struct CommitResult {
  CommitOutcome outcome = CommitOutcome::kDone;
  absl::Status status;
};

// A record that was written. What the pointers name outlives the call to `done`.
struct Commit {
  const std::string* key = nullptr;
  const RecordLocation* location = nullptr;
  Segment* segment = nullptr;
  absl::AnyInvocable<void(CommitResult) &&> done;
};

// Commits all of them on this thread: with `sync`, payloads first, one fdatasync a segment, then
// the metadata in one synced batch, which settles what was freed before. Then calls every `done`.
void CommitTogether(std::span<Commit> commits, Metadata* metadata, SegmentSet* segments, bool sync);

// Group commit: a thread that takes everything that is waiting and commits it together, with sync.
// The more callers wait, the fewer syncs each of them costs. Thread-safe; bounded by its callers.
class Committer {
 public:
  Committer(Metadata* metadata, SegmentSet* segments);
  ~Committer();  // as Stop

  // Commits what waits and ends the thread. Idempotent, from one thread at a time. REQUIRES: not on
  // the committer's thread, and no Add after it.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

  // `done` runs on the committer's thread.
  void Add(Commit commit) ABSL_LOCKS_EXCLUDED(mutex_);

  QueueLoad load() const ABSL_LOCKS_EXCLUDED(mutex_);

  bool OnCommitterThread() const;

 private:
  void Run();
  bool HasWorkOrStopped() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Metadata* const metadata_;
  SegmentSet* const segments_;
  mutable absl::Mutex mutex_;
  std::vector<Commit> waiting_ ABSL_GUARDED_BY(mutex_);
  size_t running_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace kvstore::local

#endif  // KVSERVICE_STORAGE_LOCAL_COMMITTER_H_
