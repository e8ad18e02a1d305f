// RealFileSystem for POSIX systems; preallocation and holes as Linux has them.
#include <dirent.h>
#include <fcntl.h>
#include <spdlog/fmt/fmt.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <optional>
#include <system_error>

#include "KVCommon/status_macros.h"
#include "KVService/platform/file.h"

namespace kvstore {
namespace {

absl::StatusCode CodeOf(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return absl::StatusCode::kResourceExhausted;
    case ENOENT:
      return absl::StatusCode::kNotFound;
    case EEXIST:
      return absl::StatusCode::kAlreadyExists;
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::StatusCode::kPermissionDenied;
    case EOPNOTSUPP:
    case ENOSYS:
      return absl::StatusCode::kUnimplemented;
    case EINVAL:
      return absl::StatusCode::kInvalidArgument;
    default:
      return absl::StatusCode::kUnavailable;
  }
}

absl::Status Failure(std::string_view what, const std::string& path, int error = errno) {
  return absl::Status(CodeOf(error),
                      fmt::format("{} {}: {}", what, path, std::generic_category().message(error)));
}

// Calls again what a signal interrupted.
template <typename Call>
auto Retry(Call call) {
  decltype(call()) result;
  do {
    result = call();
  } while (result < 0 && errno == EINTR);
  return result;
}

// What the page cache has of the range; nothing where the system does not say. Not by preadv2 with
// RWF_NOWAIT: newer kernels read ahead for it, and what should have been asked is then read.
std::optional<uint64_t> CachedBytes([[maybe_unused]] int fd, [[maybe_unused]] uint64_t offset,
                                    [[maybe_unused]] uint64_t size) {
#if defined(__linux__)
  // Of Linux 6.5, which Debian 12's headers do not know.
  constexpr long kCachestat = 451;
  struct {
    uint64_t offset, size;
  } range = {offset, size};
  struct {
    uint64_t cached, dirty, writeback, evicted, recently_evicted;  // pages
  } found = {};
  static const auto page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  if (::syscall(kCachestat, fd, &range, &found, 0) == 0) return found.cached * page;
#endif
  return std::nullopt;
}

class PosixFile : public File {
 public:
  PosixFile(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  ~PosixFile() override { ::close(fd_); }

  absl::Status ReadAt(uint64_t offset, std::span<std::byte> into) override {
    while (!into.empty()) {
      const ssize_t n = Retry([&] { return ::pread(fd_, into.data(), into.size(), offset); });
      if (n < 0) return Failure("read", path_);
      if (n == 0) {
        return absl::OutOfRangeError(fmt::format("read {}: ends before {}", path_, offset));
      }
      into = into.subspan(n);
      offset += n;
    }
    return absl::OkStatus();
  }

  bool IsCached(uint64_t offset, uint64_t size) override {
    const std::optional<uint64_t> cached = CachedBytes(fd_, offset, size);
    return cached && *cached >= size;
  }

  int ReadHandle() override { return fd_; }

  absl::Status WriteAt(uint64_t offset, std::span<const ByteView> parts) override {
    size_t done = 0;  // bytes of parts.front() already written
    while (!parts.empty()) {
      std::array<iovec, 8> vectors;
      const size_t count = std::min(parts.size(), vectors.size());
      for (size_t i = 0; i < count; ++i) {
        const ByteView part = i == 0 ? parts[0].subspan(done) : parts[i];
        vectors[i] = {const_cast<std::byte*>(part.data()), part.size()};
      }
      const ssize_t n = Retry([&] { return ::pwritev(fd_, vectors.data(), count, offset); });
      if (n < 0) return Failure("write", path_);
      offset += n;
      done += n;
      while (!parts.empty() && done >= parts.front().size()) {
        done -= parts.front().size();
        parts = parts.subspan(1);
      }
    }
    return absl::OkStatus();
  }

  absl::Status DataSync() override {
    if (Retry([&] { return ::fdatasync(fd_); }) < 0) return Failure("fdatasync", path_);
    return absl::OkStatus();
  }

  absl::Status Preallocate(uint64_t size) override {
    if (Retry([&] { return ::fallocate(fd_, 0, 0, size); }) == 0) return absl::OkStatus();
    if (errno == EOPNOTSUPP) return Truncate(size);
    return Failure("preallocate", path_);
  }

  absl::Status PunchHole(uint64_t offset, uint64_t size) override {
    constexpr int kPunch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    if (Retry([&] { return ::fallocate(fd_, kPunch, offset, size); }) < 0) {
      return Failure("punch hole in", path_);
    }
    return absl::OkStatus();
  }

  absl::Status Truncate(uint64_t size) override {
    if (Retry([&] { return ::ftruncate(fd_, size); }) < 0) return Failure("truncate", path_);
    return absl::OkStatus();
  }

  absl::StatusOr<Extent> Size() override {
    struct stat info;
    if (::fstat(fd_, &info) < 0) return Failure("stat", path_);
    // POSIX leaves the unit of st_blocks open; it is 512 bytes on Linux, macOS and the BSDs.
    return Extent{static_cast<uint64_t>(info.st_size), static_cast<uint64_t>(info.st_blocks) * 512};
  }

 private:
  const std::string path_;
  const int fd_;
};

class PosixDirectoryLock : public DirectoryLock {
 public:
  explicit PosixDirectoryLock(int fd) : fd_(fd) {}
  ~PosixDirectoryLock() override { ::close(fd_); }

 private:
  const int fd_;
};

class PosixFileSystem : public FileSystem {
 public:
  absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path, FileMode mode) override {
    int flags = O_CLOEXEC;
    switch (mode) {
      case FileMode::kCreate:
        flags |= O_RDWR | O_CREAT | O_EXCL;
        break;
      case FileMode::kReadWrite:
        flags |= O_RDWR;
        break;
      case FileMode::kReadDirect:
        flags |= O_RDONLY | O_DIRECT;
        break;
    }
    const int fd = Retry([&] { return ::open(path.c_str(), flags, 0644); });
    if (fd < 0) return Failure("open", path);
    return std::make_unique<PosixFile>(path, fd);
  }

  absl::Status Remove(const std::string& path) override {
    if (::unlink(path.c_str()) < 0) return Failure("remove", path);
    return absl::OkStatus();
  }

  absl::Status RemoveTree(const std::string& path) override {
    std::error_code error;
    std::filesystem::remove_all(path, error);
    if (error) return Failure("remove", path, error.value());
    return absl::OkStatus();
  }

  absl::Status Rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) < 0) return Failure("rename", from);
    return absl::OkStatus();
  }

  absl::Status CreateDirectory(const std::string& path) override {
    std::error_code error;
    std::filesystem::create_directories(path, error);
    if (error) return Failure("create directory", path, error.value());
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<std::string>> ListDirectory(const std::string& path) override {
    std::error_code error;
    std::vector<std::string> names;
    for (std::filesystem::directory_iterator it(path, error), end; !error && it != end;
         it.increment(error)) {
      names.push_back(it->path().filename().string());
    }
    if (error) return Failure("list directory", path, error.value());
    return names;
  }

  absl::Status SyncDirectory(const std::string& path) override {
    const int fd = Retry([&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
    if (fd < 0) return Failure("open directory", path);
    absl::Status status;
    if (Retry([&] { return ::fsync(fd); }) < 0) status = Failure("sync directory", path);
    ::close(fd);
    return status;
  }

  absl::StatusOr<std::unique_ptr<DirectoryLock>> LockDirectory(
      const std::string& directory) override {
    const std::string path = directory + "/LOCK";
    const int fd = Retry([&] { return ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644); });
    if (fd < 0) return Failure("open", path);
    auto lock = std::make_unique<PosixDirectoryLock>(fd);
    if (Retry([&] { return ::flock(fd, LOCK_EX | LOCK_NB); }) < 0) {
      if (errno != EWOULDBLOCK) return Failure("lock", path);
      char holder[16] = {};
      const bool known = ::pread(fd, holder, sizeof(holder) - 1, 0) > 0;
      return absl::FailedPreconditionError(
          fmt::format("directory {} is in use by another KVStore server{}; stop it or choose "
                      "another directory",
                      directory, known ? fmt::format(" (process {})", holder) : ""));
    }
    // Only a hint for the message above, so that a failure to write it is no failure.
    const std::string pid = std::to_string(::getpid());
    if (::ftruncate(fd, 0) == 0) (void)!::pwrite(fd, pid.data(), pid.size(), 0);
    return lock;
  }
};

}  // namespace

FileSystem* RealFileSystem() {
  static auto* const files = new PosixFileSystem;
  return files;
}

}  // namespace kvstore
