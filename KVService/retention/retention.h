// Removes, now and then, what is older or more than a file allows. Of a storage that servers share
// one of them does it, which holds the container's lease.
#ifndef KVSERVICE_RETENTION_RETENTION_H_
#define KVSERVICE_RETENTION_RETENTION_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "KVCommon/patience.h"
#include "KVService/retention/retention_json.h"
#include "KVService/store/chunk_store.h"
#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace kvstore {

struct RetentionOptions {
  std::string path;  // of the file
  absl::Duration interval = absl::Minutes(1);
  bool dry_run = false;  // only say what would go
  // The right to remove from a container, for half a minute at least from now on: ABORTED where
  // another server has it. Null: nobody else is there. May block.
  std::function<absl::Status(const Container&)> lease;
};

struct RetentionStats {
  uint64_t sweeps = 0;
  uint64_t failures = 0;  // of sweeps
  uint64_t blocks = 0;    // removed, or with a dry run to be
  uint64_t bytes = 0;
};

// Thread-safe.
class Retention {
 public:
  // Reads the file, which must be good, and starts the thread. `store` outlives it.
  static absl::StatusOr<std::unique_ptr<Retention>> Start(RetentionOptions options,
                                                          ChunkStore* store);
  ~Retention();  // ends the thread, a listing too; what is being removed is waited for

  // Reads the file again. All of it counts from the next sweep on, or, after an error that names
  // file and place, nothing.
  absl::Status Reload() ABSL_LOCKS_EXCLUDED(mutex_);

  RetentionStats stats() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  Retention(RetentionOptions options, ChunkStore* store)
      : options_(std::move(options)), store_(*store) {}
  void Run() ABSL_LOCKS_EXCLUDED(mutex_);
  void Sweep() ABSL_LOCKS_EXCLUDED(mutex_);
  bool Ending() const ABSL_LOCKS_EXCLUDED(mutex_);
  void Note(const char* what, const absl::StatusOr<ChunkStore::Swept>& swept)
      ABSL_LOCKS_EXCLUDED(mutex_);

  const RetentionOptions options_;
  ChunkStore& store_;
  const std::shared_ptr<Cancellation> end_ = std::make_shared<Cancellation>();  // of listings
  mutable absl::Mutex mutex_;
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  std::shared_ptr<const RetentionRules> rules_ ABSL_GUARDED_BY(mutex_);
  RetentionStats stats_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;  // last: it uses the others
};

}  // namespace kvstore

#endif  // KVSERVICE_RETENTION_RETENTION_H_
