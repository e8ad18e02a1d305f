#include "KVService/storage/azure/log_compaction.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "KVCommon/status_macros.h"
#include "KVService/storage/azure/blob_lease.h"
#include "KVService/storage/azure/crypto.h"
#include "absl/container/flat_hash_map.h"
#include "absl/time/clock.h"

namespace kvstore::azure {

namespace {

constexpr uint64_t kWindow = 2u << 20;  // of a read: more than a batch
constexpr uint64_t kLeastWindow = 16u << 10;
constexpr int kMaxReadAttempts = 6;
constexpr size_t kSnapshotPayload = 2u << 20;  // of a batch of a snapshot
// How long a compaction waits whose server died.
constexpr int kLeaseSeconds = BlobLease::kMaxSeconds;

// Appends batches to a snapshot, exactly once each.
class SnapshotWriter {
 public:
  SnapshotWriter(const LogFolder& folder, std::string name)
      : folder_(folder), name_(std::move(name)) {}

  absl::Status Create() {
    return AwaitStatus([&](auto done) {
      folder_.container->CreateAppendBlob(name_, absl::Now() + folder_.timeout, std::move(done));
    });
  }

  absl::Status Add(const LogRecord& record) {
    AppendLogRecord(record, &payload_);
    return payload_.size() < kSnapshotPayload ? absl::OkStatus() : Flush();
  }

  absl::Status Finish() {
    AppendLogRecord({LogRecord::Kind::kEnd, {}, {}, 0}, &payload_);
    return Flush();
  }

 private:
  absl::Status Flush() {
    const Slice batch = Slice::CopyOf(AsBytes(LogBatch(payload_)));
    payload_.clear();
    const auto appended = Await<uint64_t>([&](auto done) {
      folder_.container->Append(name_, batch, length_, absl::Now() + folder_.timeout,
                                std::move(done));
    });
    length_ += batch.size();
    return appended.status();
  }

  const LogFolder& folder_;
  const std::string name_;
  std::string payload_;
  uint64_t length_ = 0;
};

absl::Status DeleteFile(const LogFolder& folder, const std::string& name, const std::string& etag) {
  return AwaitStatus([&](auto done) {
    folder.container->Delete(name, etag, absl::Now() + folder.timeout, std::move(done));
  });
}

// What nobody needs once the generation before `file` is gone. Left where it fails: the next
// compaction tries again.
void DeleteOutdated(const LogFolder& folder, const LogFile& current) {
  const auto files = folder.List();
  if (!files.ok()) return;
  for (const auto& [name, file] : *files) {
    const bool older = file.generation < current.generation ||
                       (file.generation == current.generation && file.length < current.length);
    if (file.snapshot && older) DeleteFile(folder, name, "").IgnoreError();
  }
}

}  // namespace

absl::StatusOr<std::vector<std::pair<std::string, LogFile>>> LogFolder::List() const {
  std::vector<std::pair<std::string, LogFile>> files;
  std::string marker;
  do {
    const auto page = Await<Listing>([&](auto done) {
      container->List(prefix + std::string(kLogFolder), marker, 5000, absl::Now() + timeout,
                      std::move(done));
    });
    if (absl::IsNotFound(page.status())) return files;
    KV_RETURN_IF_ERROR(page.status());
    for (const ListedBlob& blob : page->blobs) {
      if (!blob.name.starts_with(prefix)) continue;
      if (const auto file = ParseLogFileName(std::string_view(blob.name).substr(prefix.size()))) {
        files.emplace_back(blob.name, *file);
      }
    }
    if (!marker.empty() && page->next_marker == marker) break;
    marker = page->next_marker;
  } while (!marker.empty());
  return files;
}

absl::Status LogFolder::Read(const std::string& name, uint64_t* offset, ParsedLog* read,
                             const std::function<void(LogRecord)>& visit) const {
  *read = {};
  std::optional<uint32_t> damaged_crc;  // of a window that had damage when it was read last
  int attempts = 0;
  uint64_t window = kWindow, least = kLeastWindow;
  for (;;) {
    const auto content = Await<BlobContent>([&](auto done) {
      container->GetRange(name, {*offset, window}, absl::Now() + timeout, std::move(done));
    });
    if (absl::IsOutOfRange(content.status())) return absl::OkStatus();  // nothing behind it
    if (absl::IsDeadlineExceeded(content.status()) && window > least) {
      // Less is sooner there. Asked for as much each time, it might never be.
      window = std::max(window / 8, least);
      continue;
    }
    KV_RETURN_IF_ERROR(content.status());
    const ParsedLog parsed = ParseLog(content->data.bytes(), visit);
    // Damage of the place is the same each time. Damage of the way is not, and records that were
    // told again do no harm.
    if (parsed.damaged > 0 && damaged_crc != parsed.damaged_crc) {
      damaged_crc = parsed.damaged_crc;
      if (++attempts < kMaxReadAttempts) continue;
      return absl::UnavailableError("the log is damaged on its way each time");
    }
    read->consumed += parsed.consumed;
    read->batches += parsed.batches;
    read->damaged += parsed.damaged;
    *offset += parsed.consumed;
    if (content->data.size() < window) return absl::OkStatus();
    if (parsed.consumed == 0) least = window = std::min(window * 2, kWindow);  // a larger batch
  }
}

absl::Status LogFolder::ReadSnapshot(uint64_t generation,
                                     const std::function<void(LogRecord)>& visit) const {
  KV_ASSIGN_OR_RETURN(auto files, List());
  std::erase_if(files, [generation](const auto& entry) {
    return !entry.second.snapshot || entry.second.generation != generation;
  });
  std::sort(files.begin(), files.end(),
            [](const auto& a, const auto& b) { return a.second.length > b.second.length; });
  for (const auto& [name, file] : files) {
    bool whole = false;
    uint64_t offset = 0;
    ParsedLog parsed;
    const absl::Status status = Read(name, &offset, &parsed, [&](LogRecord record) {
      if (record.kind == LogRecord::Kind::kEnd) whole = true;
      if (record.kind == LogRecord::Kind::kPut) visit(std::move(record));
    });
    if (!status.ok() && !absl::IsNotFound(status)) return status;
    if (status.ok() && whole && parsed.damaged == 0) return absl::OkStatus();
  }
  return absl::NotFoundError("the log's snapshot is missing");
}

absl::Status Compact(const LogFolder& folder, uint64_t generation, const std::atomic<bool>& stop) {
  const std::string log = folder.prefix + LogName(generation);
  const auto properties = Await<BlobProperties>([&](auto done) {
    folder.container->Properties(log, absl::Now() + folder.timeout, std::move(done));
  });
  if (absl::IsNotFound(properties.status())) return absl::OkStatus();  // another has done it
  KV_RETURN_IF_ERROR(properties.status());
  BlobLease lease(folder.container->shared_from_this(),
                  folder.prefix + std::string(kCompactionLease), folder.timeout);
  KV_RETURN_IF_ERROR(lease.Acquire(kLeaseSeconds));

  // What the generation says last of each name.
  absl::flat_hash_map<std::string, LogRecord> said;
  uint64_t offset = 0;
  ParsedLog read;
  KV_RETURN_IF_ERROR(folder.Read(log, &offset, &read, [&](LogRecord record) {
    if (!record.name.empty()) said[record.name] = record;
  }));
  if (offset != properties->size) return absl::AbortedError("the log is still being appended to");

  const LogFile file{generation + 1, true, properties->size};
  const std::string name = folder.prefix + SnapshotName(file.generation, file.length, RandomHex(8));
  SnapshotWriter writer(folder, name);
  KV_RETURN_IF_ERROR(writer.Create());
  absl::Status status;
  const auto add = [&](const LogRecord& record) {
    if (stop.load()) status.Update(absl::CancelledError("closed"));
    if (status.ok()) status.Update(writer.Add(record));
  };
  if (generation > 1) {
    status.Update(folder.ReadSnapshot(generation, [&](const LogRecord& record) {
      if (!said.contains(record.name)) add(record);
    }));
  }
  for (const auto& [unused, record] : said) {
    if (record.kind == LogRecord::Kind::kPut) add(record);
  }
  if (status.ok()) status = writer.Finish();
  if (status.ok()) status = DeleteFile(folder, log, properties->etag);
  if (absl::IsNotFound(status)) return absl::OkStatus();  // by another, who had read as much
  if (!status.ok()) {
    DeleteFile(folder, name, "").IgnoreError();  // or the next compaction deletes it
    return absl::IsFailedPrecondition(status) ? absl::AbortedError("the log was appended to")
                                              : status;
  }
  DeleteOutdated(folder, file);
  return absl::OkStatus();
}

}  // namespace kvstore::azure
