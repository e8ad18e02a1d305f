// Reads what is stored and nobody asks for, in the order of its place, and finds what has rotted.
#ifndef KVSERVICE_STORAGE_LOCAL_SCRUBBER_H_
#define KVSERVICE_STORAGE_LOCAL_SCRUBBER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "KVService/platform/file.h"
#include "KVService/storage/local/local_blob_store.h"
#include "KVService/storage/local/metadata.h"
#include "KVService/storage/local/segments.h"
#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace kvstore::local {

// Says how long to wait so that no more than a rate of bytes goes by. Not thread-safe.
class Pacer {
 public:
  // 0: no limit.
  explicit Pacer(uint64_t bytes_per_second) : bytes_per_second_(bytes_per_second) {}

  // Counts `bytes` as taken at `now`, and says how long to wait before they are. What was not taken
  // in time is not made up for: there are no bursts.
  absl::Duration Take(uint64_t bytes, absl::Time now);

 private:
  const uint64_t bytes_per_second_;
  absl::Time free_at_ = absl::InfinitePast();
};

// A thread of low priority that goes through all records, segment by segment, again and again. It
// reads each past the page cache where that can be, and checks what a Get checks. A record that is
// deleted or replaced meanwhile is no damage. At a restart it goes on where it was, which a file
// SCRUB in the store's directory says.
class Scrubber {
 public:
  struct Options {
    ScrubOptions scrub;
    std::string directory;
    FileSystem* files;
    Metadata* metadata;
    SegmentSet* segments;
  };

  explicit Scrubber(Options options)
      : options_(std::move(options)), pacer_(options_.scrub.bytes_per_second) {}
  ~Scrubber();  // as Stop

  // Starts the thread. Once.
  void Start();

  // Instead of that: checks everything once, on this thread, until `go_on`, which is told after
  // each record and now and then, says false. The error where the metadata cannot be read.
  absl::Status CheckAll(const std::function<bool(const ScrubStats&)>& go_on);

  // Ends the thread, which reads one record more at most. Idempotent, from one thread at a time.
  // REQUIRES: not from `damaged`.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

  ScrubStats stats() const;

 private:
  struct Place {
    uint32_t segment = 0;
    uint64_t offset = 0;
    auto operator<=>(const Place&) const = default;
  };
  struct Target {
    Place place;
    uint64_t footprint;
    std::string key;
    bool operator<(const Target& other) const { return place < other.place; }
  };

  void Run();
  // The records from `from` on, the first kWindow of them, in order. Empty at the end of a pass.
  absl::StatusOr<std::vector<Target>> NextWindow(Place from);
  absl::Status Check(const Target& target);
  // OK where the record is whole, or is not there any more. DATA_LOSS: damaged.
  absl::Status Verify(const std::string& key);
  absl::Status ReadRecord(const std::string& key, const RecordLocation& location, Segment& segment);
  // False once stopped.
  bool Sleep(absl::Duration duration) ABSL_LOCKS_EXCLUDED(mutex_);
  bool stopped() const ABSL_LOCKS_EXCLUDED(mutex_);
  Place LoadPlace() const;
  void SavePlace(Place place) const;

  const Options options_;
  Pacer pacer_;

  std::atomic<uint64_t> bytes_ = 0;
  std::atomic<uint64_t> errors_ = 0;
  std::atomic<uint64_t> passes_ = 0;
  std::atomic<uint64_t> records_ = 0;

  mutable absl::Mutex mutex_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace kvstore::local

#endif  // KVSERVICE_STORAGE_LOCAL_SCRUBBER_H_
