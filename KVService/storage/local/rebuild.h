// Metadata made anew from the segments, after the database was damaged: every record says itself
// what it is.
#ifndef KVSERVICE_STORAGE_LOCAL_REBUILD_H_
#define KVSERVICE_STORAGE_LOCAL_REBUILD_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "KVService/platform/file.h"
#include "KVService/storage/blob_store.h"
#include "KVService/storage/local/metadata.h"
#include "absl/status/statusor.h"

namespace kvstore::local {

// The folders of a store's directory.
inline constexpr char kIndexFolder[] = "/index";
inline constexpr char kDamagedIndexFolder[] = "/index.damaged";  // the last one that was replaced
inline constexpr char kNewIndexFolder[] = "/index.new";          // of a Rebuild that was cut off
inline constexpr char kSegmentsFolder[] = "/segments";

struct Rebuilt {
  std::unique_ptr<Metadata> metadata;
  uint64_t records = 0;
  uint64_t segments_cut_short = 0;  // that hold bytes which are no record: what is behind is gone
  std::vector<std::string> lost;    // keys that were found and not taken
};

// Puts a database that names the segments' records in the place of the damaged one, which it keeps
// as index.damaged. A record is taken
//   - where the damaged database, if it could be opened, still names it;
//   - where the database cannot say, if `may_return` allows it (none: always) and no other record
//     has its name: it may be one that was deleted, or replaced, whose space was not written over.
// Where a segment holds what is no record, names may be gone that nobody knows any more: then what
// `may_return` forbids goes altogether. A crash leaves either database, whole.
absl::StatusOr<Rebuilt> Rebuild(FileSystem* files, const std::string& directory,
                                std::unique_ptr<Metadata> damaged,
                                const std::function<bool(const BlobInfo&)>& may_return);

// Ends a Rebuild that was cut off, and makes `index` if there is none. DATA_LOSS where there are
// segments and no database.
absl::Status PrepareIndex(FileSystem* files, const std::string& directory);

}  // namespace kvstore::local

#endif  // KVSERVICE_STORAGE_LOCAL_REBUILD_H_
