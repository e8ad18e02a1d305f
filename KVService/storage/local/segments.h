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

#include "KVCommon/slice.h"
#include "KVService/platform/file.h"
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

  // Fills `into`. `direct` bypasses the page cache where the file system can do so; then offset,
  // size and memory are multiples of kRecordAlignment.
  absl::Status Read(FileSystem* files, uint64_t offset, std::span<std::byte> into, bool direct);

  // Makes durable what was written before the call. Once it has failed it fails for ever: after a
  // failed fdatasync the system forgets which pages it lost, and the next one would claim success.
  absl::Status Sync() ABSL_LOCKS_EXCLUDED(sync_mutex_);

 private:
  File* DirectFile(FileSystem* files) ABSL_LOCKS_EXCLUDED(direct_mutex_);

  const uint32_t id_;
  const std::string path_;
  const std::unique_ptr<File> file_;
  std::atomic<bool> dirty_ = false;  // written to since the last Sync began

  absl::Mutex sync_mutex_;
  absl::Status sync_status_ ABSL_GUARDED_BY(sync_mutex_);

  absl::Mutex direct_mutex_;
  bool direct_tried_ ABSL_GUARDED_BY(direct_mutex_) = false;
  std::unique_ptr<File> direct_file_ ABSL_GUARDED_BY(direct_mutex_);
};

// All segments of a store. Thread-safe. Offsets are never given out twice: a segment takes records
// at its end only, until it is sealed, and a reopened store begins a new one.
class SegmentSet {
 public:
  struct Options {
    FileSystem* files;
    std::string directory;
    uint64_t segment_bytes;
    bool direct_reads;
    bool sync_directory;  // new files survive a crash of the machine
  };
  // Ids below `next_id` are never given to a new segment.
  SegmentSet(Options options, uint32_t next_id);

  // Takes in a sealed segment from an earlier run. REQUIRES: records > 0, before other calls.
  void AddSealed(std::shared_ptr<Segment> segment, uint64_t records) ABSL_LOCKS_EXCLUDED(mutex_);

  struct Place {
    std::shared_ptr<Segment> segment;
    uint64_t offset = 0;
  };
  // Room for a record of `footprint` bytes, that counts as one until Free. A record larger than a
  // segment gets one of its own. RESOURCE_EXHAUSTED when the disk is full.
  absl::StatusOr<Place> Reserve(uint64_t footprint) ABSL_LOCKS_EXCLUDED(grow_mutex_, mutex_);

  // Gives a record's space back: punches its hole, or deletes the file with the last record of a
  // sealed segment. Errors are logged: the space comes back at the next start.
  void Free(uint32_t segment, uint64_t offset, uint64_t footprint) ABSL_LOCKS_EXCLUDED(mutex_);

  // Takes nothing more into the segment, after an error of its device.
  void Seal(uint32_t segment) ABSL_LOCKS_EXCLUDED(grow_mutex_, mutex_);

  // nullptr if it is gone.
  std::shared_ptr<Segment> Find(uint32_t segment) const ABSL_LOCKS_EXCLUDED(mutex_);

  // Segment::Read, direct or not as the options say.
  absl::Status Read(Segment& segment, uint64_t offset, std::span<std::byte> into) const;

  // Seals the last segment and makes all durable. No Reserve may come after it.
  absl::Status Close() ABSL_LOCKS_EXCLUDED(grow_mutex_, mutex_);

 private:
  struct Entry {
    std::shared_ptr<Segment> segment;
    uint64_t end = 0;      // where the next record goes
    uint64_t size = 0;     // preallocated
    uint64_t records = 0;  // reserved or stored
    bool sealed = false;
  };

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

  std::atomic<bool> holes_refused_ = false;
};

}  // namespace kvstore::local

#endif  // KVSERVICE_STORAGE_LOCAL_SEGMENTS_H_
