// Gets and listings of the local store.
#include <spdlog/fmt/fmt.h>

#include <utility>

#include "KVCommon/status_macros.h"
#include "KVService/storage/local/local_op.h"
#include "KVService/storage/local/media_check.h"
#include "KVService/storage/local/metadata.h"
#include "absl/time/clock.h"

namespace kvstore {

using local::AsDeviceError;
using local::RecordLocation;

namespace {

// A record that is deleted and written over each time that it is read is not worth more of them.
constexpr int kMaxReadAttempts = 4;

constexpr uint64_t kUnknown = UINT64_MAX;

absl::Status Missing() { return absl::Status(absl::StatusCode::kNotFound, ""); }

}  // namespace

struct LocalBlobStore::GetOp {
  std::string key;
  Patience patience;
  absl::AnyInvocable<void(absl::StatusOr<Blob>) &&> done;

  int attempts = 0;
  RecordLocation location;
  std::shared_ptr<local::Segment> segment;
  uint64_t reuses = kUnknown;  // of the segment, before `location` was found to be the record's
  Buffer buffer;
};

void LocalBlobStore::Get(BlobId id, Patience patience,
                         absl::AnyInvocable<void(absl::StatusOr<Blob>) &&> done) {
  absl::Status refused = local::CheckId(id);
  if (refused.ok()) {
    absl::MutexLock lock(&mutex_);
    refused = Admit(options_.max_pending, 0);
  }
  if (!refused.ok()) return std::move(done)(std::move(refused));
  auto op = std::make_unique<GetOp>(GetOp{local::KeyOf(id), std::move(patience), std::move(done)});
  // As for Submit.
  KV_CHECK(readers_->TrySubmit([this, op = std::move(op)]() mutable {
    if (op->patience.ended()) return FinishGet(std::move(op), absl::CancelledError("get"));
    if (op->patience.deadline > absl::Now()) return StartRead(std::move(op));
    FinishGet(std::move(op), absl::DeadlineExceededError("get: deadline passed in queue"));
  }));
}

void LocalBlobStore::StartRead(std::unique_ptr<GetOp> op) {
  absl::StatusOr<RecordLocation> location = metadata_->Get(op->key);
  if (!location.ok()) {
    // A value that cannot be understood is data that is lost; the rest is the device's.
    const bool ours = absl::IsNotFound(location.status()) || absl::IsDataLoss(location.status());
    return FinishGet(std::move(op), ours ? location.status() : AsDeviceError(location.status()));
  }
  op->location = *std::move(location);
  auto segment = segments_->Find(op->location.segment);
  if (segment != op->segment) op->reuses = kUnknown;
  op->segment = std::move(segment);
  if (op->segment == nullptr) return EndRead(std::move(op), absl::OutOfRangeError("no segment"));
  op->buffer = Buffer::AllocateForDirectIo(local::Footprint(op->key.size(), op->location));
  const std::span<std::byte> into = op->buffer.bytes();
  const uint64_t offset = op->location.offset;
  File& cached = op->segment->file();
  if (options_.reads == DiskReads::kAuto && cached.IsCached(offset, into.size())) {
    const absl::Status read = cached.ReadAt(offset, into);
    return EndRead(std::move(op), read);
  }
  File& file =
      options_.reads == DiskReads::kPageCache ? cached : op->segment->DirectFile(options_.files);
  async_reader_->Read(file, offset, into, [this, op = std::move(op)](absl::Status read) mutable {
    AfterRead(std::move(op), std::move(read));
  });
}

void LocalBlobStore::AfterRead(std::unique_ptr<GetOp> op, absl::Status read) {
  if (readers_->OnPoolThread()) return EndRead(std::move(op), std::move(read));
  // The ring's thread has others' reads to attend to; checksums are for ours.
  KV_CHECK(readers_->TrySubmit([this, op = std::move(op), read = std::move(read)]() mutable {
    EndRead(std::move(op), std::move(read));
  }));
}

void LocalBlobStore::EndRead(std::unique_ptr<GetOp> op, absl::Status read) {
  if (!read.ok() && !absl::IsOutOfRange(read)) {
    read = AsDeviceError(read);
    const bool lost =
        absl::IsUnavailable(read) &&
        local::IsLostOnMedia(*segments_, options_.files, *op->segment, op->location.offset,
                             local::Footprint(op->key.size(), op->location));
    if (!lost) return FinishGet(std::move(op), std::move(read));
    return CheckDamage(std::move(op), absl::DataLossError(read.message()));
  }
  absl::StatusOr<Blob> blob =
      read.ok() ? local::DecodeRecord(op->key, op->location, std::move(op->buffer).Freeze())
                : absl::DataLossError("the segment ends before the record does");
  if (blob.ok()) return FinishGet(std::move(op), std::move(blob));
  const std::string path =
      op->segment ? op->segment->path() : local::SegmentFileName(op->location.segment);
  CheckDamage(std::move(op),
              absl::DataLossError(fmt::format("{} at {}: {}", path, op->location.offset,
                                              std::string(blob.status().message()))));
}

// It is damage only if the bytes that were read had to be the record's. A Delete may have freed the
// space under us, and a Put have filled it; even with the same record again, after another.
void LocalBlobStore::CheckDamage(std::unique_ptr<GetOp> op, absl::Status damage) {
  const uint64_t reuses = op->segment ? op->segment->reuses() : 0;
  const absl::StatusOr<RecordLocation> now = metadata_->Get(op->key);
  if (!now.ok()) {
    return FinishGet(std::move(op), absl::IsNotFound(now.status()) ? Missing() : damage);
  }
  const bool certain = reuses == op->reuses && *now == op->location;
  if (certain) return FinishGet(std::move(op), std::move(damage));
  if (++op->attempts == kMaxReadAttempts) return FinishGet(std::move(op), Missing());
  op->reuses = reuses;
  StartRead(std::move(op));
}

void LocalBlobStore::FinishGet(std::unique_ptr<GetOp> op, absl::StatusOr<Blob> blob) {
  auto done = std::move(op->done);
  op.reset();
  {
    absl::MutexLock lock(&mutex_);
    --pending_;
  }
  std::move(done)(std::move(blob));
}

absl::Status LocalBlobStore::ListUntil(const std::shared_ptr<Cancellation>& end,
                                       const std::function<void(BlobInfo)>& visit) {
  for (const BlobId& id : lost_) visit({.id = id, .lost = true});
  bool ended = false;
  const absl::Status status = Visit("", [&](BlobInfo info) {
    ended = end != nullptr && end->cancelled();
    if (!ended) visit(std::move(info));
    return !ended;
  });
  return ended ? absl::CancelledError("the listing") : status;
}

void LocalBlobStore::ListPrefix(BlobId prefix, size_t limit, Patience /*patience*/,
                                Done<std::vector<BlobInfo>> done) {
  std::vector<BlobInfo> found;
  const absl::Status status = Visit(local::KeyOf(prefix), [&](BlobInfo info) {
    if (found.size() < limit) found.push_back(std::move(info));
    return found.size() < limit;
  });
  if (!status.ok()) return std::move(done)(status);
  std::move(done)(std::move(found));
}

absl::Status LocalBlobStore::Visit(std::string_view prefix,
                                   const std::function<bool(BlobInfo)>& visit) {
  {
    absl::MutexLock lock(&mutex_);
    if (closed_) return Admit(0, 0);
    // Close waits for it; the limit is not for it, since it takes no place in a queue.
    ++pending_;
  }
  const absl::Status status = metadata_->ForEach(
      prefix, [&visit](std::string_view key, const absl::StatusOr<RecordLocation>& location) {
        absl::StatusOr<BlobId> id = local::IdOf(key);
        if (!id.ok() || !location.ok()) return true;
        return visit({*std::move(id), location->data_size, local::Footprint(key.size(), *location),
                      location->attributes});
      });
  absl::MutexLock lock(&mutex_);
  --pending_;
  return AsDeviceError(status);
}

}  // namespace kvstore
