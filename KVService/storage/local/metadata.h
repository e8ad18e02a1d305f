// Which records exist and where: the small part of the store, in RocksDB. No RocksDB type leaves
// metadata.cc.
#ifndef KVSERVICE_STORAGE_LOCAL_METADATA_H_
#define KVSERVICE_STORAGE_LOCAL_METADATA_H_

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
// UNAVAILABLE for whatever else RocksDB reports, with its words.
class Metadata {
 public:
  // Opens the database in `directory`, creating it if need be.
  static absl::StatusOr<std::unique_ptr<Metadata>> Open(const std::string& directory);
  ~Metadata();

  // NOT_FOUND without a message if there is none.
  absl::StatusOr<RecordLocation> Get(const std::string& key) const;

  // All of the changes or none, even over a crash; with `sync` they survive it once OK is
  // returned. After an error it is open whether a restart brings them back.
  absl::Status Apply(std::span<const MetadataChange> changes, bool sync);

  // Visits everything as it is now, by key. A value that cannot be read is given as its error.
  absl::Status ForEach(
      const std::function<void(std::string_view, absl::StatusOr<RecordLocation>)>& visit) const;

  // Makes all that was applied durable.
  absl::Status Sync();

 private:
  struct Database;
  explicit Metadata(std::unique_ptr<Database> database);

  const std::unique_ptr<Database> database_;
};

}  // namespace kvstore::local

#endif  // KVSERVICE_STORAGE_LOCAL_METADATA_H_
