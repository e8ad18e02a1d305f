// RealFileSystem for Windows; holes and preallocation as NTFS and ReFS have them.
#include <spdlog/fmt/fmt.h>
#include <windows.h>
#include <winioctl.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <system_error>

#include "KVCommon/status_macros.h"
#include "KVService/platform/file.h"
#include "KVService/platform/windows_error.h"

namespace kvstore {
namespace {

using windows::FileFailure;
using windows::LastFileFailure;
using windows::PathOf;

class Handle {
 public:
  explicit Handle(HANDLE handle) : handle_(handle) {}
  ~Handle() {
    if (ok()) CloseHandle(handle_);
  }
  Handle(Handle&& other) noexcept : handle_(std::exchange(other.handle_, INVALID_HANDLE_VALUE)) {}
  Handle& operator=(Handle&&) = delete;

  bool ok() const { return handle_ != INVALID_HANDLE_VALUE && handle_ != nullptr; }
  HANDLE get() const { return handle_; }

 private:
  HANDLE handle_;
};

// An operation at an offset, and its end. Files are opened for overlapped ones, since others on the
// same file would wait for each other.
class Operation {
 public:
  explicit Operation(uint64_t offset) {
    overlapped_.Offset = static_cast<DWORD>(offset);
    overlapped_.OffsetHigh = static_cast<DWORD>(offset >> 32);
    overlapped_.hEvent = EventOfThread();
  }
  OVERLAPPED* get() { return &overlapped_; }

  // The error, 0 for none, and how many bytes it moved. `started`: what the call returned.
  DWORD End(HANDLE file, BOOL started, DWORD* moved) {
    if (!started && GetLastError() != ERROR_IO_PENDING) return GetLastError();
    return GetOverlappedResult(file, &overlapped_, moved, TRUE) ? 0 : GetLastError();
  }

 private:
  // One operation at a time runs on a thread.
  static HANDLE EventOfThread() {
    thread_local const Handle event(CreateEventW(nullptr, TRUE, FALSE, nullptr));
    KV_CHECK(event.ok());
    return event.get();
  }

  OVERLAPPED overlapped_ = {};
};

// What one call may move; larger ones are several.
constexpr size_t kMostAtOnce = size_t{1} << 30;

class WindowsFile : public File {
 public:
  WindowsFile(std::string path, Handle file) : path_(std::move(path)), file_(std::move(file)) {}

  absl::Status ReadAt(uint64_t offset, std::span<std::byte> into) override {
    while (!into.empty()) {
      const auto wanted = static_cast<DWORD>(std::min(into.size(), kMostAtOnce));
      Operation operation(offset);
      DWORD got = 0;
      const BOOL started =
          ReadFile(file_.get(), into.data(), wanted, nullptr, operation.get());
      const DWORD error = operation.End(file_.get(), started, &got);
      if (error == ERROR_HANDLE_EOF || (error == 0 && got == 0)) {
        return absl::OutOfRangeError(fmt::format("read {}: ends before {}", path_, offset));
      }
      if (error != 0) return FileFailure("read", path_, error);
      into = into.subspan(got);
      offset += got;
    }
    return absl::OkStatus();
  }

  bool IsCached(uint64_t, uint64_t) override { return false; }

  absl::Status WriteAt(uint64_t offset, std::span<const ByteView> parts) override {
    for (ByteView part : parts) {
      while (!part.empty()) {
        const auto wanted = static_cast<DWORD>(std::min(part.size(), kMostAtOnce));
        Operation operation(offset);
        DWORD done = 0;
        const BOOL started =
            WriteFile(file_.get(), part.data(), wanted, nullptr, operation.get());
        const DWORD error = operation.End(file_.get(), started, &done);
        if (error != 0) return FileFailure("write", path_, error);
        part = part.subspan(done);
        offset += done;
      }
    }
    return absl::OkStatus();
  }

  absl::Status DataSync() override {
    if (!FlushFileBuffers(file_.get())) return LastFileFailure("flush", path_);
    return absl::OkStatus();
  }

  absl::Status Preallocate(uint64_t size) override {
    FILE_ALLOCATION_INFO space;
    space.AllocationSize.QuadPart = static_cast<LONGLONG>(size);
    if (!SetFileInformationByHandle(file_.get(), FileAllocationInfo, &space, sizeof space)) {
      const absl::Status failed = LastFileFailure("preallocate", path_);
      if (absl::IsResourceExhausted(failed)) return failed;
      // Else this file system reserves none.
    }
    return Truncate(size);
  }

  absl::Status PunchHole(uint64_t offset, uint64_t size) override {
    // Only a sparse file has holes. It becomes one with its first, and keeps the space that it has.
    if (!sparse_.exchange(true)) {
      if (absl::Status status = Control(FSCTL_SET_SPARSE, nullptr, 0); !status.ok()) {
        sparse_ = false;
        return status;
      }
    }
    FILE_ZERO_DATA_INFORMATION range;
    range.FileOffset.QuadPart = static_cast<LONGLONG>(offset);
    range.BeyondFinalZero.QuadPart = static_cast<LONGLONG>(offset + size);
    return Control(FSCTL_SET_ZERO_DATA, &range, sizeof range);
  }

  absl::Status Truncate(uint64_t size) override {
    FILE_END_OF_FILE_INFO end;
    end.EndOfFile.QuadPart = static_cast<LONGLONG>(size);
    if (!SetFileInformationByHandle(file_.get(), FileEndOfFileInfo, &end, sizeof end)) {
      return LastFileFailure("truncate", path_);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<Extent> Size() override {
    FILE_STANDARD_INFO info;
    if (!GetFileInformationByHandleEx(file_.get(), FileStandardInfo, &info, sizeof info)) {
      return LastFileFailure("stat", path_);
    }
    Extent extent{static_cast<uint64_t>(info.EndOfFile.QuadPart),
                  static_cast<uint64_t>(info.AllocationSize.QuadPart)};
    // A sparse file's holes are told of here alone.
    FILE_COMPRESSION_INFO stored;
    if (GetFileInformationByHandleEx(file_.get(), FileCompressionInfo, &stored, sizeof stored)) {
      extent.allocated_bytes = std::min(extent.allocated_bytes,
                                        static_cast<uint64_t>(stored.CompressedFileSize.QuadPart));
    }
    return extent;
  }

 private:
  absl::Status Control(DWORD code, void* in, DWORD size) {
    Operation operation(0);
    DWORD moved = 0;
    const BOOL started =
        DeviceIoControl(file_.get(), code, in, size, nullptr, 0, nullptr, operation.get());
    const DWORD error = operation.End(file_.get(), started, &moved);
    return error == 0 ? absl::OkStatus() : FileFailure("punch hole in", path_, error);
  }

  const std::string path_;
  const Handle file_;
  std::atomic<bool> sparse_ = false;
};

class WindowsDirectoryLock : public DirectoryLock {
 public:
  explicit WindowsDirectoryLock(Handle file) : file_(std::move(file)) {}

 private:
  const Handle file_;  // closing it releases the lock
};

// Others may read, write, rename and remove what is open, as elsewhere.
Handle OpenFile(const std::string& path, DWORD access, DWORD creation, DWORD flags) {
  return Handle(CreateFileW(PathOf(path).c_str(), access,
                            FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, nullptr,
                            creation, flags, nullptr));
}

class WindowsFileSystem : public FileSystem {
 public:
  absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path, FileMode mode) override {
    DWORD access = GENERIC_READ, creation = OPEN_EXISTING, flags = FILE_FLAG_OVERLAPPED;
    if (mode == FileMode::kReadDirect) {
      flags |= FILE_FLAG_NO_BUFFERING;
    } else {
      access |= GENERIC_WRITE;
      flags |= FILE_ATTRIBUTE_NORMAL;
    }
    if (mode == FileMode::kCreate) creation = CREATE_NEW;
    Handle file = OpenFile(path, access, creation, flags);
    if (!file.ok()) return LastFileFailure("open", path);
    return std::make_unique<WindowsFile>(path, std::move(file));
  }

  absl::Status Remove(const std::string& path) override {
    if (!DeleteFileW(PathOf(path).c_str())) return LastFileFailure("remove", path);
    return absl::OkStatus();
  }

  absl::Status RemoveTree(const std::string& path) override {
    std::error_code error;
    std::filesystem::remove_all(PathOf(path), error);
    if (error) return Failure("remove", path, error);
    return absl::OkStatus();
  }

  absl::Status Rename(const std::string& from, const std::string& to) override {
    // Through to the disk, for what SyncDirectory cannot promise.
    constexpr DWORD kFlags = MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH;
    if (!MoveFileExW(PathOf(from).c_str(), PathOf(to).c_str(), kFlags)) {
      return LastFileFailure("rename", from);
    }
    return absl::OkStatus();
  }

  absl::Status CreateDirectory(const std::string& path) override {
    std::error_code error;
    std::filesystem::create_directories(PathOf(path), error);
    if (error) return Failure("create directory", path, error);
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<std::string>> ListDirectory(const std::string& path) override {
    std::error_code error;
    std::vector<std::string> names;
    for (std::filesystem::directory_iterator it(PathOf(path), error), end; !error && it != end;
         it.increment(error)) {
      names.push_back(windows::Narrow(it->path().filename().wstring()));
    }
    if (error) return Failure("list directory", path, error);
    return names;
  }

  absl::Status SyncDirectory(const std::string& path) override {
    const Handle directory =
        OpenFile(path, GENERIC_READ | GENERIC_WRITE, OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS);
    if (!directory.ok()) {
      const DWORD error = GetLastError();
      // Not given to everybody. The file system's own journal keeps the order of changes, and
      // renames are written through.
      if (error == ERROR_ACCESS_DENIED) return absl::OkStatus();
      return FileFailure("open directory", path, error);
    }
    if (FlushFileBuffers(directory.get())) return absl::OkStatus();
    const absl::Status failed = LastFileFailure("sync directory", path);
    return absl::IsUnavailable(failed) ? failed : absl::OkStatus();  // else it cannot
  }

  absl::StatusOr<std::unique_ptr<DirectoryLock>> LockDirectory(
      const std::string& directory) override {
    const std::string path = directory + "/LOCK";
    Handle file =
        OpenFile(path, GENERIC_READ | GENERIC_WRITE, OPEN_ALWAYS, FILE_ATTRIBUTE_NORMAL);
    if (!file.ok()) return LastFileFailure("open", path);
    // Far behind what is in it, since nobody else may read what is locked.
    OVERLAPPED behind = {};
    behind.OffsetHigh = 1;
    char holder[16] = {};
    DWORD moved = 0;
    if (!LockFileEx(file.get(), LOCKFILE_EXCLUSIVE_LOCK | LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0,
                    &behind)) {
      const DWORD error = GetLastError();
      if (error != ERROR_LOCK_VIOLATION && error != ERROR_IO_PENDING) {
        return FileFailure("lock", path, error);
      }
      const bool known =
          ReadFile(file.get(), holder, sizeof holder - 1, &moved, nullptr) && moved > 0;
      return absl::FailedPreconditionError(
          fmt::format("directory {} is in use by another KVStore server{}; stop it or choose "
                      "another directory",
                      directory, known ? fmt::format(" (process {})", holder) : ""));
    }
    // Only a hint for the message above, so that a failure to write it is no failure.
    const std::string pid = std::to_string(GetCurrentProcessId());
    SetEndOfFile(file.get());
    WriteFile(file.get(), pid.data(), static_cast<DWORD>(pid.size()), &moved, nullptr);
    return std::make_unique<WindowsDirectoryLock>(std::move(file));
  }

 private:
  static absl::Status Failure(std::string_view what, const std::string& path,
                              const std::error_code& error) {
    return FileFailure(what, path, static_cast<DWORD>(error.value()));
  }
};

}  // namespace

FileSystem* RealFileSystem() {
  static auto* const files = new WindowsFileSystem;
  return files;
}

}  // namespace kvstore
