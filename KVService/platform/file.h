// The operating system's files, as far as local storage needs them, behind an interface that tests
// decorate to inject faults and that other systems can implement.
#ifndef KVSERVICE_PLATFORM_FILE_H_
#define KVSERVICE_PLATFORM_FILE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "KVCommon/slice.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace kvstore {

enum class FileMode {
  kCreate,      // read and write; ALREADY_EXISTS if it is there
  kReadWrite,   // must exist
  kReadDirect,  // must exist; reads bypass the page cache. INVALID_ARGUMENT where that cannot be
};

// An open file, closed by its destructor. Thread-safe; what overlapping writes leave is undefined.
// Every error names the path and the system's reason. Codes:
//   RESOURCE_EXHAUSTED  the disk or a quota is full
//   OUT_OF_RANGE        ReadAt: the file ends before
//   UNIMPLEMENTED       PunchHole: this file system cannot
//   UNAVAILABLE         anything else the device or system reports
class File {
 public:
  virtual ~File() = default;

  // Fills all of `into`. For kReadDirect offset, size and memory are multiples of
  // Buffer::kDirectAlignment, and a file that ends inside the last unit is OUT_OF_RANGE.
  virtual absl::Status ReadAt(uint64_t offset, std::span<std::byte> into) = 0;

  // Whether the page cache has all of the range now, so that ReadAt would not wait for the device.
  // False where the system cannot tell.
  virtual bool IsCached(uint64_t offset, uint64_t size) = 0;

  // What the system knows the file by, for reads that AsyncReader makes; -1: they must use ReadAt.
  virtual int ReadHandle() { return -1; }

  // Writes the parts one behind the other. After an error any of the bytes may be there.
  virtual absl::Status WriteAt(uint64_t offset, std::span<const ByteView> parts) = 0;

  // Makes the data written so far durable, and what is needed to read it back. After an error
  // what was written since the last success may be lost, even if a later call succeeds.
  virtual absl::Status DataSync() = 0;

  // Gives the file `size` bytes and the space for them, reading as zeros. Where the file system
  // cannot reserve space, the size alone.
  virtual absl::Status Preallocate(uint64_t size) = 0;

  // Frees the range's space; it reads as zeros from then on. The size stays.
  virtual absl::Status PunchHole(uint64_t offset, uint64_t size) = 0;

  virtual absl::Status Truncate(uint64_t size) = 0;

  struct Extent {
    uint64_t size = 0;             // where the file ends
    uint64_t allocated_bytes = 0;  // of the device
  };
  virtual absl::StatusOr<Extent> Size() = 0;
};

// An exclusive lock on a directory, released by its destructor or the end of the process.
class DirectoryLock {
 public:
  virtual ~DirectoryLock() = default;
};

// Thread-safe. Codes as for File, and NOT_FOUND, ALREADY_EXISTS, PERMISSION_DENIED.
class FileSystem {
 public:
  virtual ~FileSystem() = default;

  virtual absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path, FileMode mode) = 0;
  virtual absl::Status Remove(const std::string& path) = 0;

  // Removes a directory and all that is in it; OK if it is not there.
  virtual absl::Status RemoveTree(const std::string& path) = 0;

  // Replaces `to` at once: a reader sees the old or the new file. A directory is moved only to
  // where nothing is.
  virtual absl::Status Rename(const std::string& from, const std::string& to) = 0;

  // With all its parents; OK if it is there.
  virtual absl::Status CreateDirectory(const std::string& path) = 0;

  // The names in the directory without "." and "..", in no order.
  virtual absl::StatusOr<std::vector<std::string>> ListDirectory(const std::string& path) = 0;

  // Makes creations, renames and removals in the directory durable.
  virtual absl::Status SyncDirectory(const std::string& path) = 0;

  // Locks through a file LOCK in the directory. FAILED_PRECONDITION, with the directory and the
  // holder's process id, if another opener has it, be it in this process.
  virtual absl::StatusOr<std::unique_ptr<DirectoryLock>> LockDirectory(
      const std::string& directory) = 0;
};

// The machine's own. Lives as long as the process.
FileSystem* RealFileSystem();

// A small file, whole. DATA_LOSS if it has more than `max_size` bytes.
absl::StatusOr<std::string> ReadSmallFile(FileSystem* files, const std::string& path,
                                          size_t max_size);

// Puts a small file in place durably and at once, through `path`.tmp.
absl::Status WriteSmallFile(FileSystem* files, const std::string& directory,
                            const std::string& name, std::string_view content);

}  // namespace kvstore

#endif  // KVSERVICE_PLATFORM_FILE_H_
