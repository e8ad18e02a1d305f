// What Open does with the files and metadata that an earlier run, or a crash, left.
#ifndef KVSERVICE_STORAGE_LOCAL_RECOVERY_H_
#define KVSERVICE_STORAGE_LOCAL_RECOVERY_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "KVService/platform/file.h"
#include "KVService/storage/local/metadata.h"
#include "KVService/storage/local/segments.h"

namespace kvstore::local {

struct Recovered {
  uint64_t records = 0;
  uint64_t bytes = 0;                         // their footprints
  uint64_t tail_bytes_cut = 0;                // what segments had behind their last indexed record
  std::vector<std::string> dangling_dropped;  // keys of metadata without a record to go with it
  uint32_t next_segment = 1;
  std::vector<std::pair<std::shared_ptr<Segment>, uint64_t>> segments;  // with their records
};

// Brings files and metadata into agreement: drops metadata whose record is not in a segment file
// whole, deletes segments without records, cuts every segment behind its last record and frees
// the gaps between records. Payloads are not read: a damaged one shows when it is asked for.
// DATA_LOSS, with nothing changed, where the metadata cannot be read in full, or (`all_read` is
// then set) does not name as many records as `expected`, where that is known.
absl::StatusOr<Recovered> Recover(FileSystem* files, const std::string& segments_directory,
                                  Metadata* metadata, std::optional<uint64_t> expected,
                                  bool* all_read);

}  // namespace kvstore::local

#endif  // KVSERVICE_STORAGE_LOCAL_RECOVERY_H_
