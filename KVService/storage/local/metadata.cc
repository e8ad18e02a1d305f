#include "KVService/storage/local/metadata.h"

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/file_system.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/options.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>
#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <map>
#include <optional>
#include <system_error>
#include <utility>

#include "KVCommon/status_macros.h"
#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace kvstore::local {
namespace {

constexpr std::string_view kDamageHint =
    "; the metadata is damaged: what can be read is served, and the next start makes it anew from "
    "the segments";

absl::Status FromRocks(const rocksdb::Status& status, std::string_view what,
                       const std::string& directory) {
  if (status.ok()) return absl::OkStatus();
  if (status.IsNotFound()) return absl::NotFoundError("");
  absl::StatusCode code = absl::StatusCode::kUnavailable;
  if (status.IsNoSpace()) code = absl::StatusCode::kResourceExhausted;
  if (status.IsCorruption()) code = absl::StatusCode::kDataLoss;
  return absl::Status(code,
                      fmt::format("{} metadata in {}: {}{}", what, directory, status.ToString(),
                                  status.IsCorruption() ? kDamageHint : ""));
}

// For what reads all there is: a file that is missing, or that its device cannot read, is as lost
// as one whose bytes are wrong. A disk that is full or not to be written is another matter.
absl::Status FromRocksReadingAll(const rocksdb::Status& status, std::string_view what,
                                 const std::string& directory) {
  const bool unreadable =
      status.IsIOError() &&
      status.ToString().find(std::generic_category().message(EIO)) != std::string::npos;
  if (!unreadable && !status.IsPathNotFound() && !status.IsNotFound() &&
      !status.IsInvalidArgument() && !status.IsNotSupported()) {
    return FromRocks(status, what, directory);
  }
  return absl::DataLossError(
      fmt::format("{} metadata in {}: {}", what, directory, status.ToString()));
}

// The disk under RocksDB's files, which fails as a test wants.
class Disk {
 public:
  explicit Disk(const std::atomic<int>* fault) : fault_(fault) {}

  // The call's own outcome, or the one that a test wants.
  template <typename Call>
  rocksdb::IOStatus Write(Call call) const {
    rocksdb::IOStatus status;
    if (const int error = fault_ == nullptr ? 0 : fault_->load(); error != 0) {
      const std::string words = std::generic_category().message(error);
      status =
          error == ENOSPC ? rocksdb::IOStatus::NoSpace(words) : rocksdb::IOStatus::IOError(words);
    } else {
      status = call();
    }
    return status;
  }

 private:
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
    return disk_.Write([&] { return target()->Sync(o, d); });
  }
  rocksdb::IOStatus Fsync(const Options& o, Debug* d) override {
    return disk_.Write([&] { return target()->Fsync(o, d); });
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

rocksdb::Slice AsSlice(const std::string& text) { return {text.data(), text.size()}; }

rocksdb::Options MakeOptions(rocksdb::Env* env) {
  rocksdb::Options options;
  options.create_if_missing = true;
  options.env = env;
  // A write that a crash cut off ends the log. Damage before its end does not: it is told, and the
  // changes behind it are not dropped in silence.
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  // A record's metadata is about 200 bytes of digests: small, and nothing to compress.
  options.compression = rocksdb::kNoCompression;
  options.write_buffer_size = 8 << 20;
  options.max_write_buffer_number = 3;
  options.max_total_wal_size = 32 << 20;
  options.max_open_files = 256;
  options.max_background_jobs = 2;
  options.info_log = std::make_shared<WarningLog>();
  options.stats_dump_period_sec = 0;
  rocksdb::BlockBasedTableOptions table;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.block_cache = rocksdb::NewLRUCache(32 << 20);
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

// Room that opening takes at most: a table of what the log holds, and a new log.
constexpr uint64_t kRoomToOpen = 32 << 20;

// Whether the disk takes new files again.
rocksdb::Status Probe(rocksdb::Env* env, const std::string& directory) {
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

}  // namespace

// RocksDB takes nothing more after an error of a file that it writes. Its DB::Resume is of no use:
// where nothing was written since its log began, it leaves the log as it is, and RocksDB (7.8)
// aborts the process at the next write. So the database is opened anew.
struct Metadata::Database {
  std::string directory;
  std::unique_ptr<rocksdb::Env> env;

  // Held shared by every call, and alone to open it anew.
  absl::Mutex mutex;
  // Never null but after an attempt to open it anew that failed in every way. Scans keep their own
  // reference and no lock.
  std::shared_ptr<rocksdb::DB> db ABSL_GUARDED_BY(mutex);
  // What the keys of the changes that failed meant before: written again once it is open anew,
  // since the log may have got some of the changes.
  absl::Mutex undo_mutex ABSL_ACQUIRED_AFTER(mutex);
  std::map<std::string, std::optional<std::string>> undo ABSL_GUARDED_BY(undo_mutex);

  rocksdb::Status Open(bool read_only) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    const rocksdb::Options options = MakeOptions(env.get());
    rocksdb::DB* opened = nullptr;
    const rocksdb::Status status = read_only
                                       ? rocksdb::DB::OpenForReadOnly(options, directory, &opened)
                                       : rocksdb::DB::Open(options, directory, &opened);
    if (status.ok()) db.reset(opened);
    return status;
  }

  absl::Status Closed() const {
    return absl::UnavailableError(
        fmt::format("metadata in {} cannot be opened anew after a failed write", directory));
  }
};

Metadata::Metadata(std::unique_ptr<Database> database) : database_(std::move(database)) {}
Metadata::~Metadata() = default;

absl::StatusOr<std::unique_ptr<Metadata>> Metadata::Open(const std::string& directory,
                                                         const std::atomic<int>* write_fault) {
  auto database = std::make_unique<Database>();
  database->directory = directory;
  database->env = rocksdb::NewCompositeEnv(std::make_shared<Files>(Disk(write_fault)));
  {
    absl::MutexLock lock(&database->mutex);
    const rocksdb::Status status = database->Open(/*read_only=*/false);
    if (!status.ok()) return FromRocksReadingAll(status, "open", directory);
  }
  return std::unique_ptr<Metadata>(new Metadata(std::move(database)));
}

absl::StatusOr<RecordLocation> Metadata::Get(const std::string& key) const {
  rocksdb::PinnableSlice value;
  absl::ReaderMutexLock lock(&database_->mutex);
  rocksdb::DB* const db = database_->db.get();
  if (db == nullptr) return database_->Closed();
  const rocksdb::Status status =
      db->Get(rocksdb::ReadOptions(), db->DefaultColumnFamily(), AsSlice(key), &value);
  if (!status.ok()) return FromRocks(status, "read", database_->directory);
  return DecodeLocation({value.data(), value.size()});
}

absl::Status Metadata::GoOn() {
  if (!failing_.load(std::memory_order_relaxed)) return absl::OkStatus();
  Database& d = *database_;
  absl::MutexLock lock(&d.mutex);
  if (!failing_) return absl::OkStatus();
  rocksdb::Status status = Probe(d.env.get(), d.directory);
  if (!status.ok()) return FromRocks(status, "write", d.directory);
  if (d.db.use_count() > 1) {
    return absl::UnavailableError(
        fmt::format("metadata in {} is read as a whole; opened anew after that", d.directory));
  }
  d.db.reset();
  status = d.Open(/*read_only=*/false);
  if (!status.ok()) {
    // Reads go on.
    const rocksdb::Status read_only = d.Open(/*read_only=*/true);
    spdlog::error("metadata not opened anew directory={} readable={} error=\"{}\"", d.directory,
                  read_only.ok(), status.ToString());
    return FromRocks(status, "open", d.directory);
  }
  absl::MutexLock undo_lock(&d.undo_mutex);
  rocksdb::WriteBatch batch;
  for (const auto& [key, value] : d.undo) {
    status = value ? batch.Put(AsSlice(key), AsSlice(*value)) : batch.Delete(AsSlice(key));
    if (!status.ok()) return FromRocks(status, "write", d.directory);
  }
  rocksdb::WriteOptions options;
  options.sync = true;
  status = d.db->Write(options, &batch);
  if (!status.ok()) return FromRocks(status, "write", d.directory);
  d.undo.clear();
  failing_ = false;
  spdlog::warn("metadata is written again directory={}", d.directory);
  return absl::OkStatus();
}

// With the lock that the write was made under, so that the database is still the one that failed:
// it has none of the changes.
void Metadata::NoteFailure(Database& d, std::span<const MetadataChange> changes,
                           const absl::Status& status) {
  absl::MutexLock lock(&d.undo_mutex);
  for (const MetadataChange& change : changes) {
    std::string value;
    const rocksdb::Status before = d.db->Get(rocksdb::ReadOptions(), AsSlice(*change.key), &value);
    if (!before.ok() && !before.IsNotFound()) continue;  // damaged: as good as gone
    d.undo.try_emplace(*change.key, before.ok() ? std::optional(std::move(value)) : std::nullopt);
  }
  if (failing_.exchange(true)) return;
  spdlog::error("metadata not written, tried again with each change error=\"{}\"",
                std::string(status.message()));
}

absl::Status Metadata::Apply(std::span<const MetadataChange> changes, bool sync, bool* attempted) {
  if (attempted != nullptr) *attempted = false;
  KV_RETURN_IF_ERROR(GoOn());
  rocksdb::WriteBatch batch;
  for (const MetadataChange& change : changes) {
    if (change.location == nullptr) {
      batch.Delete(AsSlice(*change.key));
    } else {
      batch.Put(AsSlice(*change.key), EncodeLocation(*change.location));
    }
  }
  rocksdb::WriteOptions options;
  options.sync = sync;
  absl::ReaderMutexLock lock(&database_->mutex);
  if (failing_ || database_->db == nullptr) return database_->Closed();
  if (attempted != nullptr) *attempted = true;
  const absl::Status status =
      FromRocks(database_->db->Write(options, &batch), "write", database_->directory);
  if (!status.ok()) NoteFailure(*database_, changes, status);
  return status;
}

absl::Status Metadata::ForEach(
    const std::function<bool(std::string_view, absl::StatusOr<RecordLocation>)>& visit) const {
  std::shared_ptr<rocksdb::DB> db;
  {
    absl::ReaderMutexLock lock(&database_->mutex);
    db = database_->db;
  }
  if (db == nullptr) return database_->Closed();
  rocksdb::ReadOptions options;
  options.fill_cache = false;  // or a scan would empty it of what Gets need
  options.readahead_size = 2 << 20;
  const std::unique_ptr<rocksdb::Iterator> it(db->NewIterator(options));
  for (it->SeekToFirst(); it->Valid(); it->Next()) {
    if (!visit({it->key().data(), it->key().size()},
               DecodeLocation({it->value().data(), it->value().size()}))) {
      return absl::OkStatus();
    }
  }
  return FromRocksReadingAll(it->status(), "scan", database_->directory);
}

absl::Status Metadata::Sync() {
  KV_RETURN_IF_ERROR(GoOn());
  absl::ReaderMutexLock lock(&database_->mutex);
  if (failing_ || database_->db == nullptr) return database_->Closed();
  const absl::Status status =
      FromRocks(database_->db->FlushWAL(/*sync=*/true), "sync", database_->directory);
  if (!status.ok()) NoteFailure(*database_, {}, status);
  return status;
}

}  // namespace kvstore::local
