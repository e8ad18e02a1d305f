#include "KVService/storage/local/metadata.h"

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/options.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>
#include <spdlog/fmt/fmt.h>

#include <utility>

namespace kvstore::local {
namespace {

absl::Status FromRocks(const rocksdb::Status& status, std::string_view what,
                       const std::string& directory) {
  if (status.ok()) return absl::OkStatus();
  if (status.IsNotFound()) return absl::NotFoundError("");
  const bool full = status.IsNoSpace();
  const std::string_view hint =
      status.IsCorruption()
          ? "; the metadata is damaged: restore the data directory, or move it away to start empty"
          : "";
  return absl::Status(
      full ? absl::StatusCode::kResourceExhausted : absl::StatusCode::kUnavailable,
      fmt::format("{} metadata in {}: {}{}", what, directory, status.ToString(), hint));
}

rocksdb::Slice AsSlice(const std::string& text) { return {text.data(), text.size()}; }

rocksdb::Options MakeOptions() {
  rocksdb::Options options;
  options.create_if_missing = true;
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
  if (!status.ok()) return FromRocks(status, "open", directory);
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

absl::Status Metadata::Apply(std::span<const MetadataChange> changes, bool sync) {
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
  return FromRocks(database_->db->Write(options, &batch), "write", database_->directory);
}

absl::Status Metadata::ForEach(
    const std::function<void(std::string_view, absl::StatusOr<RecordLocation>)>& visit) const {
  rocksdb::ReadOptions options;
  options.fill_cache = false;  // or a scan would empty it of what Gets need
  options.readahead_size = 2 << 20;
  const std::unique_ptr<rocksdb::Iterator> it(database_->db->NewIterator(options));
  for (it->SeekToFirst(); it->Valid(); it->Next()) {
    visit({it->key().data(), it->key().size()},
          DecodeLocation({it->value().data(), it->value().size()}));
  }
  return FromRocks(it->status(), "scan", database_->directory);
}

absl::Status Metadata::Sync() {
  return FromRocks(database_->db->FlushWAL(/*sync=*/true), "sync", database_->directory);
}

}  // namespace kvstore::local
