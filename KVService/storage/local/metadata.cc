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

#include <cerrno>
#include <system_error>
#include <utility>

#include "KVCommon/status_macros.h"

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

// RocksDB takes an error of a file that it writes for the end, until it is opened anew, unless the
// error is one to try again after. A disk that was read-only or away comes back: with this
// DB::Resume then goes on, in new files. What failed before was told to nobody as done.
rocksdb::IOStatus Retryable(rocksdb::IOStatus status) {
  if (status.IsIOError()) status.SetRetryable(true);
  return status;
}

class WrittenFile : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  using Options = rocksdb::IOOptions;
  using Debug = rocksdb::IODebugContext;
  using Check = rocksdb::DataVerificationInfo;
  using FSWritableFileOwnerWrapper::FSWritableFileOwnerWrapper;

  rocksdb::IOStatus Append(const rocksdb::Slice& data, const Options& o, Debug* d) override {
    return Retryable(target()->Append(data, o, d));
  }
  rocksdb::IOStatus Append(const rocksdb::Slice& data, const Options& o, const Check& check,
                           Debug* d) override {
    return Retryable(target()->Append(data, o, check, d));
  }
  rocksdb::IOStatus Flush(const Options& o, Debug* d) override {
    return Retryable(target()->Flush(o, d));
  }
  rocksdb::IOStatus Sync(const Options& o, Debug* d) override {
    return Retryable(target()->Sync(o, d));
  }
  rocksdb::IOStatus Fsync(const Options& o, Debug* d) override {
    return Retryable(target()->Fsync(o, d));
  }
  rocksdb::IOStatus Close(const Options& o, Debug* d) override {
    return Retryable(target()->Close(o, d));
  }
};

class Files : public rocksdb::FileSystemWrapper {
 public:
  Files() : FileSystemWrapper(rocksdb::FileSystem::Default()) {}
  const char* Name() const override { return "kvstore"; }

  rocksdb::IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* file,
                                    rocksdb::IODebugContext* debug) override {
    rocksdb::IOStatus status = target()->NewWritableFile(path, options, file, debug);
    if (status.ok()) *file = std::make_unique<WrittenFile>(std::move(*file));
    return Retryable(std::move(status));
  }
  rocksdb::IOStatus RenameFile(const std::string& from, const std::string& to,
                               const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* debug) override {
    return Retryable(target()->RenameFile(from, to, options, debug));
  }
};

// Lives as long as the process, as RocksDB's own does.
rocksdb::Env* OurEnv() {
  static rocksdb::Env* const env = rocksdb::NewCompositeEnv(std::make_shared<Files>()).release();
  return env;
}

rocksdb::Slice AsSlice(const std::string& text) { return {text.data(), text.size()}; }

rocksdb::Options MakeOptions() {
  rocksdb::Options options;
  options.create_if_missing = true;
  options.env = OurEnv();
  // A write that a crash cut off ends the log. Damage before its end does not: it is told, and the
  // changes behind it are not dropped in silence.
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  options.max_bgerror_resume_count = 0;  // we say when to go on (GoOn)
  // A record's metadata is about 200 bytes of digests: small, and nothing to compress.
  options.compression = rocksdb::kNoCompression;
  options.write_buffer_size = 8 << 20;
  options.max_write_buffer_number = 3;
  options.max_total_wal_size = 32 << 20;
  options.max_open_files = 256;
  options.max_background_jobs = 2;
  options.info_log_level = rocksdb::WARN_LEVEL;
  options.max_log_file_size = 1 << 20;
  options.keep_log_file_num = 2;
  options.stats_dump_period_sec = 0;
  rocksdb::BlockBasedTableOptions table;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.block_cache = rocksdb::NewLRUCache(32 << 20);
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

}  // namespace

struct Metadata::Database {
  std::string directory;
  std::unique_ptr<rocksdb::DB> db;
};

Metadata::Metadata(std::unique_ptr<Database> database) : database_(std::move(database)) {}
Metadata::~Metadata() = default;

absl::StatusOr<std::unique_ptr<Metadata>> Metadata::Open(const std::string& directory) {
  rocksdb::DB* db = nullptr;
  const rocksdb::Status status = rocksdb::DB::Open(MakeOptions(), directory, &db);
  if (!status.ok()) return FromRocksReadingAll(status, "open", directory);
  auto database = std::make_unique<Database>();
  database->directory = directory;
  database->db.reset(db);
  return std::unique_ptr<Metadata>(new Metadata(std::move(database)));
}

absl::StatusOr<RecordLocation> Metadata::Get(const std::string& key) const {
  rocksdb::PinnableSlice value;
  rocksdb::DB& db = *database_->db;
  const rocksdb::Status status =
      db.Get(rocksdb::ReadOptions(), db.DefaultColumnFamily(), AsSlice(key), &value);
  if (!status.ok()) return FromRocks(status, "read", database_->directory);
  return DecodeLocation({value.data(), value.size()});
}

absl::Status Metadata::GoOn() {
  if (!failing_.load(std::memory_order_relaxed)) return absl::OkStatus();
  const rocksdb::Status status = database_->db->Resume();
  if (!status.ok()) return FromRocks(status, "write", database_->directory);
  if (failing_.exchange(false)) {
    spdlog::warn("metadata is written again directory={}", database_->directory);
  }
  return absl::OkStatus();
}

absl::Status Metadata::Apply(std::span<const MetadataChange> changes, bool sync) {
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
  const absl::Status status =
      FromRocks(database_->db->Write(options, &batch), "write", database_->directory);
  if (!status.ok() && !failing_.exchange(true)) {
    spdlog::error("metadata not written, tried again with each change error=\"{}\"",
                  std::string(status.message()));
  }
  return status;
}

absl::Status Metadata::ForEach(
    const std::function<bool(std::string_view, absl::StatusOr<RecordLocation>)>& visit) const {
  rocksdb::ReadOptions options;
  options.fill_cache = false;  // or a scan would empty it of what Gets need
  options.readahead_size = 2 << 20;
  const std::unique_ptr<rocksdb::Iterator> it(database_->db->NewIterator(options));
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
  const rocksdb::Status status = database_->db->FlushWAL(/*sync=*/true);
  if (!status.ok()) failing_ = true;
  return FromRocks(status, "sync", database_->directory);
}

}  // namespace kvstore::local
