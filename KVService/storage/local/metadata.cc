#include "KVService/storage/local/metadata.h"

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/options.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>
#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>

#include <cerrno>
#include <map>
#include <optional>
#include <system_error>
#include <utility>

#include "KVCommon/status_macros.h"
#include "KVService/storage/local/rocks_env.h"
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
  options.info_log = MakeRocksLog();
  options.stats_dump_period_sec = 0;
  rocksdb::BlockBasedTableOptions table;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.block_cache = rocksdb::NewLRUCache(32 << 20);
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

}  // namespace

// RocksDB takes nothing more after an error of a file that it writes. Its DB::Resume is of no use:
// where nothing was written since its log began, it leaves the log as it is, and RocksDB (7.8)
// aborts the process at the next write. So the database is opened anew.
struct Metadata::Database {
  std::string directory;
  std::unique_ptr<rocksdb::Env> env;

  absl::Mutex probe_mutex ABSL_ACQUIRED_BEFORE(mutex);  // a disk that fails is slow: one at a time
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
  database->env = MakeRocksEnv(write_fault);
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
  absl::MutexLock probe_lock(&d.probe_mutex);
  if (!failing_) return absl::OkStatus();
  rocksdb::Status status = ProbeDisk(d.env.get(), d.directory);
  if (!status.ok()) return FromRocks(status, "write", d.directory);
  absl::MutexLock lock(&d.mutex);
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
  d.mutex.AssertReaderHeld();
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
    std::string_view prefix,
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
  for (it->Seek({prefix.data(), prefix.size()}); it->Valid(); it->Next()) {
    const std::string_view key(it->key().data(), it->key().size());
    if (!key.starts_with(prefix)) break;
    if (!visit(key, DecodeLocation({it->value().data(), it->value().size()}))) {
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
