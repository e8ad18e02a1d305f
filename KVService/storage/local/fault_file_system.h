// A FileSystem that passes everything on, and fails or interrupts what a test says.
#ifndef KVSERVICE_STORAGE_LOCAL_FAULT_FILE_SYSTEM_H_
#define KVSERVICE_STORAGE_LOCAL_FAULT_FILE_SYSTEM_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "KVService/platform/file.h"
#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace kvstore::testing {

enum class FileCall { kOpen, kWrite, kSync, kPreallocate, kPunch, kRead, kReadDone };

class FaultFileSystem : public FileSystem {
 public:
  // Asked before every call on a segment file, and after a read; a status other than OK takes the
  // call's place.
  // Runs outside locks, on the caller's thread.
  using Hook = std::function<absl::Status(FileCall, const std::string& path)>;

  void SetHook(Hook hook) {
    absl::MutexLock lock(&mutex_);
    hook_ = std::make_shared<Hook>(std::move(hook));
  }
  void Fail(FileCall call, absl::Status status) {
    SetHook([=](FileCall c, const std::string&) { return c == call ? status : absl::OkStatus(); });
  }
  void Heal() { SetHook(nullptr); }

  // Reads of a segment file that touch this range fail, as of sectors that the device has lost.
  void LoseSectors(std::string file_name, uint64_t offset, uint64_t size) {
    absl::MutexLock lock(&mutex_);
    lost_ = {std::move(file_name), offset, size};
  }

  absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path, FileMode mode) override {
    if (absl::Status status = Ask(FileCall::kOpen, path); !status.ok()) return status;
    auto file = real_->Open(path, mode);
    if (!file.ok()) return file;
    return std::make_unique<FaultFile>(this, path, *std::move(file));
  }
  absl::Status Remove(const std::string& path) override { return real_->Remove(path); }
  absl::Status RemoveTree(const std::string& path) override { return real_->RemoveTree(path); }
  absl::Status Rename(const std::string& from, const std::string& to) override {
    return real_->Rename(from, to);
  }
  absl::Status CreateDirectory(const std::string& path) override {
    return real_->CreateDirectory(path);
  }
  absl::StatusOr<std::vector<std::string>> ListDirectory(const std::string& path) override {
    return real_->ListDirectory(path);
  }
  absl::Status SyncDirectory(const std::string& path) override {
    return real_->SyncDirectory(path);
  }
  absl::StatusOr<std::unique_ptr<DirectoryLock>> LockDirectory(const std::string& path) override {
    return real_->LockDirectory(path);
  }

 private:
  class FaultFile : public File {
   public:
    FaultFile(FaultFileSystem* owner, std::string path, std::unique_ptr<File> file)
        : owner_(owner), path_(std::move(path)), file_(std::move(file)) {}

    absl::Status ReadAt(uint64_t offset, std::span<std::byte> into) override {
      absl::Status status = owner_->Ask(FileCall::kRead, path_);
      status.Update(owner_->AskSectors(path_, offset, into.size()));
      if (!status.ok()) return status;
      status = file_->ReadAt(offset, into);
      status.Update(owner_->Ask(FileCall::kReadDone, path_));
      return status;
    }
    bool IsCached(uint64_t offset, uint64_t size) override { return file_->IsCached(offset, size); }
    int ReadHandle() override {
      const bool passes =
          owner_->Ask(FileCall::kRead, path_).ok() && owner_->AskSectors(path_, 0, UINT64_MAX).ok();
      return passes ? file_->ReadHandle() : -1;
    }
    absl::Status WriteAt(uint64_t offset, std::span<const ByteView> parts) override {
      const absl::Status status = owner_->Ask(FileCall::kWrite, path_);
      return status.ok() ? file_->WriteAt(offset, parts) : status;
    }
    absl::Status DataSync() override {
      const absl::Status status = owner_->Ask(FileCall::kSync, path_);
      return status.ok() ? file_->DataSync() : status;
    }
    absl::Status Preallocate(uint64_t size) override {
      const absl::Status status = owner_->Ask(FileCall::kPreallocate, path_);
      return status.ok() ? file_->Preallocate(size) : status;
    }
    absl::Status PunchHole(uint64_t offset, uint64_t size) override {
      const absl::Status status = owner_->Ask(FileCall::kPunch, path_);
      return status.ok() ? file_->PunchHole(offset, size) : status;
    }
    absl::Status Truncate(uint64_t size) override { return file_->Truncate(size); }
    absl::StatusOr<Extent> Size() override { return file_->Size(); }

   private:
    FaultFileSystem* const owner_;
    const std::string path_;
    const std::unique_ptr<File> file_;
  };

  absl::Status Ask(FileCall call, const std::string& path) {
    if (!path.ends_with(".seg")) return absl::OkStatus();
    std::shared_ptr<Hook> hook;
    {
      absl::MutexLock lock(&mutex_);
      hook = hook_;
    }
    return hook && *hook ? (*hook)(call, path) : absl::OkStatus();
  }

  absl::Status AskSectors(const std::string& path, uint64_t offset, uint64_t size) {
    absl::MutexLock lock(&mutex_);
    const bool meet =
        lost_.size > 0 && path.ends_with(lost_.file_name) &&
        (offset < lost_.offset ? lost_.offset - offset < size : offset - lost_.offset < lost_.size);
    return meet ? absl::UnavailableError("read " + path + ": Input/output error")
                : absl::OkStatus();
  }

  struct Sectors {
    std::string file_name;
    uint64_t offset = 0;
    uint64_t size = 0;  // 0: none
  };

  FileSystem* const real_ = RealFileSystem();
  absl::Mutex mutex_;
  Sectors lost_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<Hook> hook_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace kvstore::testing

#endif  // KVSERVICE_STORAGE_LOCAL_FAULT_FILE_SYSTEM_H_
