// The log's files: read, listed, and compacted into snapshots. All calls block.
#ifndef KVSERVICE_STORAGE_AZURE_LOG_COMPACTION_H_
#define KVSERVICE_STORAGE_AZURE_LOG_COMPACTION_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "KVService/storage/azure/await.h"
#include "KVService/storage/azure/blob_container.h"
#include "KVService/storage/azure/log_format.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace kvstore::azure {

// A container's log files, with the place before their names and a bound on each request.
struct LogFolder {
  BlobContainer* container;
  std::string prefix;
  absl::Duration timeout;

  // Empty where there is no container, too.
  absl::StatusOr<std::vector<std::pair<std::string, LogFile>>> List() const;

  // Reads the file's batches from *offset on and moves that behind the last whole one; `read` tells
  // what these were, after an error, too. Stops at the file's end, or after an error: to be gone on
  // with from *offset. NOT_FOUND where there is no such file.
  absl::Status Read(const std::string& name, uint64_t* offset, ParsedLog* read,
                    const std::function<void(LogRecord)>& visit) const;

  // Visits the puts of the most recent whole snapshot that begins the generation. NOT_FOUND where
  // there is none; then some puts may have been visited.
  absl::Status ReadSnapshot(uint64_t generation, const std::function<void(LogRecord)>& visit) const;
};

// Turns a generation that has rolled, and the snapshot that it began with, into the snapshot of the
// next, and deletes them. A lease of kCompactionLease keeps servers from doing it at once; it only
// saves work, and may run out before they end: any number of them may do so at once, and each may
// die at any point, since the log is deleted only as it was read. ABORTED where another has the
// lease or something was appended meanwhile: try again later. Ends early with CANCELLED once *stop.
absl::Status Compact(const LogFolder& folder, uint64_t generation, const std::atomic<bool>& stop);

}  // namespace kvstore::azure

#endif  // KVSERVICE_STORAGE_AZURE_LOG_COMPACTION_H_
