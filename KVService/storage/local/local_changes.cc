// Puts and deletes of the local store.
#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "KVCommon/status_macros.h"
#include "KVService/storage/local/committer.h"
#include "KVService/storage/local/local_op.h"
#include "KVService/storage/local/metadata.h"
#include "absl/time/clock.h"

namespace kvstore {

using local::AsDeviceError;
using local::CommitOutcome;
using local::CommitResult;
using local::RecordLocation;

namespace {

// How long a disk that was full is taken to be so, before it is tried again.
constexpr absl::Duration kFullDiskMemory = absl::Minutes(1);

}  // namespace

absl::Status local::AsDeviceError(const absl::Status& status) {
  if (status.ok() || absl::IsResourceExhausted(status)) return status;
  return absl::UnavailableError(std::string(status.message()));
}

void LocalBlobStore::Put(BlobId id, Blob blob, Patience patience,
                         absl::AnyInvocable<void(absl::Status) &&> done) {
  absl::Status status = local::CheckId(id);
  if (blob.data.empty()) status.Update(absl::InvalidArgumentError("blob without data"));
  if (blob.attributes.size() > kMaxBlobAttributes) {
    status.Update(absl::InvalidArgumentError(
        fmt::format("blob with {} bytes of attributes", blob.attributes.size())));
  }
  if (!status.ok()) return std::move(done)(std::move(status));
  auto op = std::make_unique<Op>();
  op->kind = Op::Kind::kPut;
  op->key = local::KeyOf(id);
  op->blob = std::move(blob);
  op->deadline = patience.deadline;
  op->done = std::move(done);
  Enqueue(std::move(op));
}

void LocalBlobStore::Delete(BlobId id, absl::AnyInvocable<void(absl::Status) &&> done) {
  if (absl::Status status = local::CheckId(id); !status.ok()) {
    return std::move(done)(std::move(status));
  }
  auto op = std::make_unique<Op>();
  op->kind = Op::Kind::kDelete;
  op->key = local::KeyOf(id);
  op->done = std::move(done);
  Enqueue(std::move(op));
}

void LocalBlobStore::Enqueue(std::unique_ptr<Op> op) {
  absl::Status refused;
  {
    absl::MutexLock lock(&mutex_);
    // A Delete makes room: what is waiting must not keep it out.
    const size_t limit = options_.max_pending * (op->kind == Op::Kind::kDelete ? 2 : 1);
    refused = Admit(limit, op->blob.data.size());
    if (refused.ok()) {
      const auto [busy, free] = busy_.try_emplace(op->key);
      if (free) return Submit(std::move(op));
      // Whether this one finds the name taken is only known when the other is done.
      busy->second.push_back(std::move(op));
      return;
    }
  }
  std::move(op->done)(std::move(refused));
}

void LocalBlobStore::Submit(std::unique_ptr<Op> op) {
  if (op->kind == Op::Kind::kDelete) {
    deletes_.push_back(std::move(op));
    if (std::exchange(deleting_, true)) return;
    KV_CHECK(deleter_->TrySubmit([this] { RunDeletes(); }));
    return;
  }
  // Cannot be full: its queue is as long as the count that Admit bounds.
  KV_CHECK(writers_->TrySubmit([this, op = std::move(op)]() mutable { RunPut(std::move(op)); }));
}

void LocalBlobStore::RunPut(std::unique_ptr<Op> op) {
  if (op->deadline <= absl::Now()) {
    return Finish(std::move(op), absl::DeadlineExceededError("put: deadline passed in the queue"));
  }
  const absl::StatusOr<RecordLocation> existing = metadata_->Get(op->key);
  if (existing.ok()) {
    return Finish(std::move(op), absl::Status(absl::StatusCode::kAlreadyExists, ""));
  }
  absl::Status status = existing.status();
  if (absl::IsDataLoss(status)) NoteDamagedMetadata(status);  // what was there is a miss: a new one
  if (absl::IsNotFound(status) || absl::IsDataLoss(status)) status = WritePayload(*op);
  if (!status.ok()) return Finish(std::move(op), AsDeviceError(status));
  CommitPut(std::move(op));
}

absl::Status LocalBlobStore::WritePayload(Op& op) {
  op.location.data_size = op.blob.data.size();
  op.location.crc32c = op.blob.crc32c;
  op.location.attributes = op.blob.attributes;
  op.footprint = local::Footprint(op.key.size(), op.location);
  {
    absl::MutexLock lock(&mutex_);
    const uint64_t needed = usage_.used_bytes + reserved_bytes_ + op.footprint;
    if (usage_.capacity_bytes != 0 && needed > usage_.capacity_bytes) {
      return absl::ResourceExhaustedError(
          fmt::format("local store {}: {} bytes would exceed its capacity of {}",
                      options_.directory, needed, usage_.capacity_bytes));
    }
    reserved_bytes_ += op.footprint;
  }
  absl::StatusOr<local::SegmentSet::Place> place = segments_->Reserve(op.footprint);
  if (absl::IsResourceExhausted(place.status()) && segments_->HasUnsettled()) {
    // On a full disk no put may come that settles what was deleted to make room for this one.
    SettleFreed();
    place = segments_->Reserve(op.footprint);
  }
  absl::Status status = place.status();
  if (place.ok()) {
    op.segment = std::move(place->segment);
    op.location.segment = op.segment->id();
    op.location.offset = place->offset;
    const std::string head = local::EncodeRecordHead(op.key, op.location);
    // The padding too, or its page would have to be read before it is written.
    static constexpr std::array<std::byte, local::kRecordAlignment> kZeros{};
    const uint64_t padding = op.footprint - local::RecordSize(op.key.size(), op.location);
    const ByteView parts[] = {AsBytes(head), op.blob.data.bytes(), ByteView(kZeros).first(padding)};
    status = op.segment->Write(op.location.offset, parts);
    if (status.ok()) return status;
    if (!absl::IsResourceExhausted(status)) segments_->Seal(op.location.segment);
    segments_->Discard(op.extent());
  }
  absl::MutexLock lock(&mutex_);
  reserved_bytes_ -= op.footprint;
  if (absl::IsResourceExhausted(status)) NoteFullDisk(op.footprint);
  return status;
}

void LocalBlobStore::NoteFullDisk(uint64_t footprint) {
  const absl::Time now = absl::Now();
  const bool known = now < full_until_;
  if (!known) {
    spdlog::warn("disk full directory={} used_bytes={}: evicting to write, for {} s",
                 options_.directory, usage_.used_bytes, absl::ToInt64Seconds(kFullDiskMemory));
  }
  const uint64_t least = known ? std::min(full_at_, usage_.used_bytes) : usage_.used_bytes;
  full_at_ = least - std::min(least, footprint);
  full_until_ = now + kFullDiskMemory;
}

void LocalBlobStore::CommitPut(std::unique_ptr<Op> op) {
  local::Commit commit;
  commit.key = &op->key;
  commit.location = &op->location;
  commit.segment = op->segment.get();
  commit.done = [this, op = std::move(op)](CommitResult result) mutable {
    PutCommitted(std::move(op), std::move(result));
  };
  if (committer_) return committer_->Add(std::move(commit));
  local::CommitTogether({&commit, 1}, metadata_.get(), segments_.get(),
                        options_.durability == Durability::kEach);
}

void LocalBlobStore::PutCommitted(std::unique_ptr<Op> op, CommitResult result) {
  if (result.outcome == CommitOutcome::kPayloadLost) {
    segments_->Seal(op->location.segment);
    segments_->Discard(op->extent());
  } else if (result.outcome == CommitOutcome::kRefused) {
    segments_->Discard(op->extent());
  }
  {
    absl::MutexLock lock(&mutex_);
    reserved_bytes_ -= op->footprint;
    if (result.status.ok()) {
      usage_.used_bytes += op->footprint;
      ++usage_.blobs;
    }
    if (result.outcome == CommitOutcome::kUncertain) usage_certain_ = false;
  }
  Finish(std::move(op), AsDeviceError(result.status));
}

void LocalBlobStore::RunDeletes() {
  for (;;) {
    std::vector<std::unique_ptr<Op>> ops;
    {
      absl::MutexLock lock(&mutex_);
      running_deletes_ = deletes_.size();
      if (deletes_.empty()) {
        deleting_ = false;
        return;
      }
      ops.swap(deletes_);
    }
    DeleteTogether(std::move(ops));
    // By now their callers go on.
    if (segments_->SettleIsDue()) SettleFreed();
    segments_->Trim();
  }
}

void LocalBlobStore::DeleteTogether(std::vector<std::unique_ptr<Op>> ops) {
  std::vector<local::MetadataChange> changes;
  std::vector<std::unique_ptr<Op>> found;
  for (std::unique_ptr<Op>& op : ops) {
    absl::StatusOr<RecordLocation> existing = metadata_->Get(op->key);
    if (absl::IsDataLoss(existing.status())) {
      // Where it was nobody knows: its space comes back with the next start.
      NoteDamagedMetadata(existing.status());
      changes.push_back({&op->key, nullptr});
      found.push_back(std::move(op));
      continue;
    }
    if (!existing.ok()) {
      const bool missing = absl::IsNotFound(existing.status());
      Finish(std::move(op), missing ? existing.status() : AsDeviceError(existing.status()));
      continue;
    }
    op->location = *std::move(existing);
    op->footprint = local::Footprint(op->key.size(), op->location);
    changes.push_back({&op->key, nullptr});
    found.push_back(std::move(op));
  }
  if (changes.empty()) return;
  // Not synced: who waits for this wants room, and until it is durable the bytes stay.
  const absl::Status applied = metadata_->Apply(changes, /*sync=*/false);
  if (applied.ok()) {
    for (const std::unique_ptr<Op>& op : found) {
      if (op->footprint > 0) segments_->Free(op->extent());
    }
    absl::MutexLock lock(&mutex_);
    for (const std::unique_ptr<Op>& op : found) {
      usage_.used_bytes -= op->footprint;
      usage_.blobs -= op->footprint > 0;
    }
  } else {
    absl::MutexLock lock(&mutex_);
    usage_certain_ = false;
  }
  for (std::unique_ptr<Op>& op : found) Finish(std::move(op), AsDeviceError(applied));
}

void LocalBlobStore::NoteDamagedMetadata(const absl::Status& damage) {
  spdlog::error("metadata of a blob damaged error=\"{}\"", std::string(damage.message()));
  absl::MutexLock lock(&mutex_);
  usage_certain_ = false;
}

void LocalBlobStore::SettleFreed() {
  const uint64_t freed = segments_->Freed();
  const absl::Status synced = metadata_->Sync();
  if (synced.ok()) return segments_->Settle(freed);
  spdlog::warn("local store {}: {}; deleted space is not reused yet", options_.directory,
               std::string(synced.message()));
}

void LocalBlobStore::Finish(std::unique_ptr<Op> op, absl::Status status) {
  auto done = std::move(op->done);
  {
    absl::MutexLock lock(&mutex_);
    const auto busy = busy_.find(op->key);
    if (busy->second.empty()) {
      busy_.erase(busy);
    } else {
      std::unique_ptr<Op> next = std::move(busy->second.front());
      busy->second.pop_front();
      Submit(std::move(next));
    }
    --pending_;
    pending_put_bytes_ -= op->blob.data.size();
  }
  op.reset();
  std::move(done)(std::move(status));
}

}  // namespace kvstore
