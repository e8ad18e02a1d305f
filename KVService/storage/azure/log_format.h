// The form of the shared log: which blobs of a container were put and deleted, by all servers.
//
// In a container, beside the blobs:
//   kvlog/<generation, 8 digits>.log                       append blob: every server appends
//   kvlog/<generation>.<length>.<id>.snapshot              append blob: what generations before it
//                                                          left, of which the last had that length
// Both are batches, each appended whole:
//   "KVL1" | payload size, 4 | CRC-32C of the payload, 4 | payload
// and a payload is records, one behind the other:
//   1 put     | name size, 2 | name | attributes size, 1 | attributes | data size, 8
//   2 delete  | name size, 2 | name
//   3 rolled  the next generation has begun: append there
//   4 end     a snapshot is complete
// all little-endian. A put may stand for a blob that was put before, and a delete for none.
#ifndef KVSERVICE_STORAGE_AZURE_LOG_FORMAT_H_
#define KVSERVICE_STORAGE_AZURE_LOG_FORMAT_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "KVCommon/slice.h"

namespace kvstore::azure {

inline constexpr std::string_view kLogFolder = "kvlog/";
// The blob in it whose lease says who compacts. Empty.
inline constexpr std::string_view kCompactionLease = "kvlog/compaction";
// Likewise, who keeps the container in order. Empty.
inline constexpr std::string_view kRetentionLease = "kvlog/retention";
inline constexpr size_t kMaxLogPayload = (4u << 20) - 12;  // one Append Block is 4 MiB at most
inline constexpr size_t kMaxLogRecord = 2048;

std::string LogName(uint64_t generation);
std::string SnapshotName(uint64_t generation, uint64_t length, std::string_view id);

struct LogFile {
  uint64_t generation = 0;
  bool snapshot = false;
  uint64_t length = 0;  // of a snapshot: of the log before its generation
};
std::optional<LogFile> ParseLogFileName(std::string_view name);

struct LogRecord {
  enum class Kind : uint8_t { kPut = 1, kDelete = 2, kRolled = 3, kEnd = 4 };

  Kind kind = Kind::kPut;
  std::string name;
  std::string attributes;
  uint64_t size = 0;
};

// Adds to a payload. REQUIRES: name and attributes of 1,024 and 64 bytes at most.
void AppendLogRecord(const LogRecord& record, std::string* payload);

// A whole batch. REQUIRES: payload.size() <= kMaxLogPayload.
std::string LogBatch(std::string_view payload);

struct ParsedLog {
  size_t consumed = 0;  // the rest is the begin of a batch whose end is not among the bytes
  size_t batches = 0;
  size_t damaged = 0;  // bytes among the consumed that are no batch; the next one was looked for
  uint32_t damaged_crc = 0;  // CRC-32C of those bytes
};

// Visits the records of the batches that `bytes` begins with. A batch that fails its CRC or whose
// records do not parse is damage, and passed over whole.
ParsedLog ParseLog(ByteView bytes, const std::function<void(LogRecord)>& visit);

}  // namespace kvstore::azure

#endif  // KVSERVICE_STORAGE_AZURE_LOG_FORMAT_H_
