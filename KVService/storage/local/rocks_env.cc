#include "KVService/storage/local/rocks_env.h"

#include <rocksdb/file_system.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <system_error>
#include <utility>

namespace kvstore::local {
namespace {

// Room that opening takes at most: a table of what the log holds, and a new log.
constexpr uint64_t kRoomToOpen = 32 << 20;

// The disk under RocksDB's files, which fails as a test wants.
class Disk {
 public:
  explicit Disk(const std::atomic<int>* fault) : fault_(fault) {}

  // The call's own outcome, or the one that a test wants.
  template <typename Call>
  rocksdb::IOStatus Write(Call call) const {
    const int error = fault();
    return error > 0 ? Failure(error) : call();
  }
  template <typename Call>
  rocksdb::IOStatus Sync(Call call) const {
    const int error = fault();
    return error != 0 ? Failure(std::abs(error)) : call();
  }

 private:
  int fault() const { return fault_ == nullptr ? 0 : fault_->load(); }
  static rocksdb::IOStatus Failure(int error) {
    const std::string words = std::generic_category().message(error);
    return error == ENOSPC ? rocksdb::IOStatus::NoSpace(words) : rocksdb::IOStatus::IOError(words);
  }

  const std::atomic<int>* const fault_;
};

class WrittenFile : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  using Options = rocksdb::IOOptions;
  using Debug = rocksdb::IODebugContext;
  using Check = rocksdb::DataVerificationInfo;
  WrittenFile(std::unique_ptr<rocksdb::FSWritableFile> file, Disk disk)
      : FSWritableFileOwnerWrapper(std::move(file)), disk_(disk) {}

  rocksdb::IOStatus Append(const rocksdb::Slice& data, const Options& o, Debug* d) override {
    return disk_.Write([&] { return target()->Append(data, o, d); });
  }
  rocksdb::IOStatus Append(const rocksdb::Slice& data, const Options& o, const Check& check,
                           Debug* d) override {
    return disk_.Write([&] { return target()->Append(data, o, check, d); });
  }
  rocksdb::IOStatus Flush(const Options& o, Debug* d) override {
    return disk_.Write([&] { return target()->Flush(o, d); });
  }
  rocksdb::IOStatus Sync(const Options& o, Debug* d) override {
    return disk_.Sync([&] { return target()->Sync(o, d); });
  }
  rocksdb::IOStatus Fsync(const Options& o, Debug* d) override {
    return disk_.Sync([&] { return target()->Fsync(o, d); });
  }

 private:
  const Disk disk_;
};

class Files : public rocksdb::FileSystemWrapper {
 public:
  explicit Files(Disk disk) : FileSystemWrapper(rocksdb::FileSystem::Default()), disk_(disk) {}
  const char* Name() const override { return "kvstore"; }

  rocksdb::IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* file,
                                    rocksdb::IODebugContext* debug) override {
    rocksdb::IOStatus status =
        disk_.Write([&] { return target()->NewWritableFile(path, options, file, debug); });
    if (status.ok()) *file = std::make_unique<WrittenFile>(std::move(*file), disk_);
    return status;
  }
  rocksdb::IOStatus RenameFile(const std::string& from, const std::string& to,
                               const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* debug) override {
    return disk_.Write([&] { return target()->RenameFile(from, to, options, debug); });
  }

 private:
  const Disk disk_;
};

// RocksDB's warnings go to our log. A log file of its own would be one more file that a bad disk
// fails; worse, RocksDB (7.8) aborts the process when it logs again after an error of that file.
class WarningLog : public rocksdb::Logger {
 public:
  WarningLog() : Logger(rocksdb::WARN_LEVEL) {}
  using Logger::Logv;
  void Logv(rocksdb::InfoLogLevel level, const char* format, va_list arguments) override {
    if (level >= rocksdb::WARN_LEVEL) Logv(format, arguments);
  }
  void Logv(const char* format, va_list arguments) override {
    char line[512];
    const int size = std::vsnprintf(line, sizeof(line), format, arguments);
    if (size <= 0) return;
    std::string_view text(line, std::min<size_t>(size, sizeof(line) - 1));
    while (text.ends_with('\n')) text.remove_suffix(1);
    spdlog::warn("rocksdb message=\"{}\"", text);
  }
  void LogHeader(const char*, va_list) override {}
};

}  // namespace

std::unique_ptr<rocksdb::Env> MakeRocksEnv(const std::atomic<int>* write_fault) {
  return rocksdb::NewCompositeEnv(std::make_shared<Files>(Disk(write_fault)));
}

std::shared_ptr<rocksdb::Logger> MakeRocksLog() { return std::make_shared<WarningLog>(); }

rocksdb::Status ProbeDisk(rocksdb::Env* env, const std::string& directory) {
  const std::string path = directory + "/probe";
  const rocksdb::IOOptions options;
  std::unique_ptr<rocksdb::FSWritableFile> file;
  rocksdb::FileSystem& files = *env->GetFileSystem();
  rocksdb::IOStatus status = files.NewWritableFile(path, {}, &file, nullptr);
  if (!status.ok()) return status;
  status = file->Allocate(0, kRoomToOpen, options, nullptr);
  if (!status.IsNoSpace()) status = file->Append(std::string(4096, 'x'), options, nullptr);
  if (status.ok()) status = file->Fsync(options, nullptr);
  file->Close(options, nullptr).PermitUncheckedError();
  file.reset();
  files.DeleteFile(path, options, nullptr).PermitUncheckedError();
  return status;
}

}  // namespace kvstore::local
