// Which records exist and where: the small part of the store, in RocksDB. No RocksDB type leaves
// metadata.cc, but to rocks_env.
#ifndef KVSERVICE_STORAGE_LOCAL_METADATA_H_
#define KVSERVICE_STORAGE_LOCAL_METADATA_H_

#include <atomic>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "KVService/storage/local/record.h"

namespace kvstore::local {

// One change of a batch: the record is at `location`, or (nullptr) is gone.
struct MetadataChange {
  const std::string* key;
  const RecordLocation* location;
};

// Thread-safe; every call may block on the disk. Errors: RESOURCE_EXHAUSTED when the disk is full,
// DATA_LOSS when what the database keeps is damaged, UNAVAILABLE for whatever else RocksDB
// reports; with its words.
class Metadata {
 public:
  // Opens the database in `directory`, creating it if need be. DATA_LOSS also where files of it are
  // missing or their device cannot read them. For tests: `write_fault` is as
  // MakeRocksEnv says.
  static absl::StatusOr<std::unique_ptr<Metadata>> Open(
      const std::string& directory, const std::atomic<int>* write_fault = nullptr);
  ~Metadata();

  // NOT_FOUND without a message if there is none.
  absl::StatusOr<RecordLocation> Get(const std::string& key) const;

  // All of the changes or none, even over a crash; with `sync` they survive it once OK is
  // returned. After an error none of them holds, but a restart may find them, unless `attempted`
  // says that nothing was written. The calls after one that failed first open the database anew,
  // once the disk takes files again, and fail until then; Gets go on.
  absl::Status Apply(std::span<const MetadataChange> changes, bool sync, bool* attempted = nullptr);

  // Visits everything as it is now whose key begins so, by key, until `visit` returns false. A
  // value that cannot be understood is given as its error. DATA_LOSS, after what was visited, also
  // where the device cannot read it.
  absl::Status ForEach(
      std::string_view prefix,
      const std::function<bool(std::string_view, absl::StatusOr<RecordLocation>)>& visit) const;

  // Makes all that was applied durable. Errors as of Apply.
  absl::Status Sync();

 private:
  struct Database;
  explicit Metadata(std::unique_ptr<Database> database);

  // OK unless a change has failed since the database was opened, and it cannot be opened anew.
  absl::Status GoOn();
  void NoteFailure(Database& database, std::span<const MetadataChange> changes,
                   const absl::Status& status);

  const std::unique_ptr<Database> database_;
  std::atomic<bool> failing_ = false;
};

}  // namespace kvstore::local

#endif  // KVSERVICE_STORAGE_LOCAL_METADATA_H_
