// The segment files: where the next record goes, what is freed when one goes.
#ifndef KVSERVICE_STORAGE_LOCAL_SEGMENTS_H_
#define KVSERVICE_STORAGE_LOCAL_SEGMENTS_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "KVCommon/slice.h"
#include "KVService/platform/file.h"
#include "KVService/storage/local/free_extents.h"
#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"

namespace kvstore::local {

// "000042.seg", and back: nothing for any other name.
std::string SegmentFileName(uint32_t id);
std::optional<uint32_t> ParseSegmentFileName(std::string_view name);

// One segment file. Thread-safe; the file stays readable for those that hold it after it is
// deleted. Errors are the file's.
class Segment {
 public:
  Segment(uint32_t id, std::string path, std::unique_ptr<File> file);

  uint32_t id() const { return id_; }
  const std::string& path() const { return path_; }
  File& file() { return *file_; }

  absl::Status Write(uint64_t offset, std::span<const ByteView> parts);

  // For reads past the page cache; file() where the file system has none.
  File& DirectFile(FileSystem* files) ABSL_LOCKS_EXCLUDED(direct_mutex_);

  // Makes durable what was written before the call. Once it has failed it fails for ever: after a
  // failed fdatasync the system forgets which pages it lost, and the next one would claim success.
  absl::Status Sync() ABSL_LOCKS_EXCLUDED(sync_mutex_);

  // How often space of this segment was given out again. A reader whose record is not what the
  // metadata says asks before and after: unless it moved, nobody has written over the record.
  uint64_t reuses() const { return reuses_.load(); }
  void CountReuse() { reuses_.fetch_add(1); }

 private:
  const uint32_t id_;
  const std::string path_;
  const std::unique_ptr<File> file_;
  std::atomic<bool> dirty_ = false;  // written to since the last Sync began
  std::atomic<uint64_t> reuses_ = 0;

  absl::Mutex sync_mutex_;
  absl::Status sync_status_ ABSL_GUARDED_BY(sync_mutex_);

  absl::Mutex direct_mutex_;
  bool direct_tried_ ABSL_GUARDED_BY(direct_mutex_) = false;
  std::unique_ptr<File> direct_file_ ABSL_GUARDED_BY(direct_mutex_);
};

// All segments of a store. Thread-safe. A record goes where a deleted one of its footprint was,
// else behind the last one. Space is given out again only once the metadata does not name it any
// more and, with `settle_freed`, never will after a crash. What is not reused in time is punched.
class SegmentSet {
 public:
  struct Options {
    FileSystem* files;
    std::string directory;
    uint64_t segment_bytes;
    bool sync_directory;  // new files survive a crash of the machine
    bool settle_freed;    // what Free gives back waits for Settle; else it may be reused at once
    uint64_t recycle_bytes = 0;  // of deleted records that Trim leaves for reuse
  };
  // Ids below `next_id` are never given to a new segment.
  SegmentSet(Options options, uint32_t next_id);

  // Takes in a sealed segment from an earlier run. REQUIRES: records > 0, before other calls.
  void AddSealed(std::shared_ptr<Segment> segment, uint64_t records) ABSL_LOCKS_EXCLUDED(mutex_);

  struct Place {
    std::shared_ptr<Segment> segment;
    uint64_t offset = 0;
  };
  // Room for a record of `footprint` bytes, that counts as one until it is freed or discarded. A
  // record larger than a segment gets one of its own. RESOURCE_EXHAUSTED when the disk is full.
  absl::StatusOr<Place> Reserve(uint64_t footprint) ABSL_LOCKS_EXCLUDED(grow_mutex_, mutex_);

  // Keeps a deleted record's space for reuse, without a call to the system. REQUIRES: the metadata
  // does not name it any more.
  void Free(const FreeExtent& extent) ABSL_LOCKS_EXCLUDED(mutex_);

  // Gives the space of a record that was never in the metadata back to the file system: punches its
  // hole, or deletes the file with the last record of a sealed segment. Errors are logged: the
  // space comes back at the next start.
  void Discard(const FreeExtent& extent) ABSL_LOCKS_EXCLUDED(mutex_);

  // Free's calls so far; Settle(that) says that the deletions of those are durable.
  uint64_t Freed() const ABSL_LOCKS_EXCLUDED(mutex_);
  void Settle(uint64_t freed) ABSL_LOCKS_EXCLUDED(mutex_);

  bool HasUnsettled() const ABSL_LOCKS_EXCLUDED(mutex_);

  // Whether so much waits to be settled that it should not wait for the next put.
  bool SettleIsDue() const ABSL_LOCKS_EXCLUDED(mutex_);

  // Discards what was freed longest ago, down to `recycle_bytes`.
  void Trim() { DiscardBeyond(options_.recycle_bytes); }

  // Takes nothing more into the segment, neither at its end nor over what was freed, after an error
  // of its device.
  void Seal(uint32_t segment) ABSL_LOCKS_EXCLUDED(grow_mutex_, mutex_);

  // The oldest ones, so many at most.
  std::vector<std::shared_ptr<Segment>> First(size_t most) const ABSL_LOCKS_EXCLUDED(mutex_);

  // nullptr if it is gone.
  std::shared_ptr<Segment> Find(uint32_t segment) const ABSL_LOCKS_EXCLUDED(mutex_);

  // Seals the last segment and makes all durable. No Reserve may come after it.
  absl::Status Close() ABSL_LOCKS_EXCLUDED(grow_mutex_, mutex_);

  // Discards all that was freed, settled or not. REQUIRES: the deletions are durable.
  void DiscardFreed() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Entry {
    std::shared_ptr<Segment> segment;
    uint64_t end = 0;      // where the next record goes
    uint64_t size = 0;     // preallocated
    uint64_t records = 0;  // reserved, stored, or freed and kept for reuse
    bool sealed = false;   // takes nothing more at its end
    bool failed = false;   // takes nothing more at all
  };

  std::optional<Place> Recycle(uint64_t footprint) ABSL_LOCKS_EXCLUDED(mutex_);
  void DiscardBeyond(uint64_t most_bytes) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<std::shared_ptr<Segment>> CreateFor(uint64_t footprint, uint64_t* size)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(grow_mutex_);
  absl::StatusOr<std::shared_ptr<Segment>> Create(uint64_t size)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(grow_mutex_);
  void SealAndTrim(uint32_t id) ABSL_LOCKS_EXCLUDED(mutex_);
  void Delete(const Segment& segment);

  const Options options_;

  // Held while a segment is made, so that readers do not wait for that.
  absl::Mutex grow_mutex_ ABSL_ACQUIRED_BEFORE(mutex_);
  uint32_t next_id_ ABSL_GUARDED_BY(grow_mutex_);
  uint32_t active_ ABSL_GUARDED_BY(grow_mutex_) = 0;  // 0: none

  mutable absl::Mutex mutex_;
  std::map<uint32_t, Entry> entries_ ABSL_GUARDED_BY(mutex_);
  FreeExtents free_ ABSL_GUARDED_BY(mutex_);

  std::atomic<bool> holes_refused_ = false;
};

}  // namespace kvstore::local

#endif  // KVSERVICE_STORAGE_LOCAL_SEGMENTS_H_
