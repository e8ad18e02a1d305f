#include "KVService/storage/tiered/tiered_blob_store.h"

#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "KVCommon/status_macros.h"
#include "KVService/storage/tiered/pending_marker.h"
#include "KVService/storage/tiered/tiered_op.h"
#include "absl/container/flat_hash_set.h"
#include "absl/time/clock.h"

namespace kvstore {

using tiered::IsMarker;
using tiered::IsReserved;
using tiered::KeyOf;
using tiered::LocalCopy;

namespace {

absl::Status ClosedError() { return absl::UnavailableError("the tiered store is closed"); }

absl::Status CheckNotMarker(const BlobId& id) {
  if (!IsMarker(id)) return absl::OkStatus();
  return absl::InvalidArgumentError("account '-', container 'pending' are the tiered store's own");
}

}  // namespace

// ---- opening

absl::StatusOr<std::unique_ptr<TieredBlobStore>> TieredBlobStore::Open(
    TieredOptions options, std::unique_ptr<BlobStore> local,
    std::unique_ptr<SharedBlobStore> remote) {
  if (options.max_operations == 0 || options.upload_timeout <= absl::ZeroDuration() ||
      options.retry_min <= absl::ZeroDuration() || options.retry_max < options.retry_min) {
    return absl::InvalidArgumentError(
        "tiered store: max_operations and the upload's times must be above 0, retry_max no less "
        "than retry_min");
  }
  std::unique_ptr<TieredBlobStore> store(
      new TieredBlobStore(options, std::move(local), std::move(remote)));
  KV_RETURN_IF_ERROR(store->LoadCopies());
  store->thread_ = std::thread([tier = store.get()] { tier->Run(); });
  return store;
}

TieredBlobStore::TieredBlobStore(TieredOptions options, std::unique_ptr<BlobStore> local,
                                 std::unique_ptr<SharedBlobStore> remote)
    : options_(options), local_(std::move(local)), remote_(std::move(remote)) {}

absl::Status TieredBlobStore::LoadCopies() {
  std::vector<BlobInfo> blobs;
  absl::flat_hash_set<std::string> markers;
  uint64_t untracked = 0;
  KV_RETURN_IF_ERROR(local_->List([&](BlobInfo info) {
    if (IsMarker(info.id)) {
      if (!info.lost) markers.insert(info.id.name);
    } else if (IsReserved(info.id)) {
      untracked += info.footprint;  // of a time when this directory was a store of its own
    } else {
      blobs.push_back(std::move(info));
    }
  }));
  absl::MutexLock lock(&mutex_);
  untracked_bytes_ = untracked;
  for (const BlobInfo& info : blobs) {
    // Without markers there is nothing to look for, and no name need be hashed.
    const std::string marker = markers.empty() ? "" : tiered::MarkerOf(info.id).name;
    const bool pending = !markers.empty() && markers.contains(marker);
    if (info.lost) {
      if (pending) lost_.push_back(info.id);
      continue;
    }
    if (pending) markers.erase(marker);
    Adopt(info, pending);
  }
  if (!copies_.pending().empty() || !lost_.empty()) {
    spdlog::info("blobs to upload from before blobs={} lost={}", copies_.pending().size(),
                 lost_.size());
  }
  MakeRoom(0);
  // Markers without a blob: of puts that were never acknowledged, or of what is lost. One that
  // cannot be removed says nothing at the next Open either.
  for (const std::string& name : markers) {
    BlobId id = tiered::MarkerOf(BlobId());
    id.name = name;
    ++operations_;
    auto op = std::make_unique<Op>();
    op->kind = Op::Kind::kDropMarker;
    op->id = std::move(id);
    ready_.push_back(std::move(op));
  }
  return absl::OkStatus();
}

void TieredBlobStore::Adopt(const BlobInfo& info, bool pending) {
  const std::string key = KeyOf(info.id);
  if (copies_.Find(key) != nullptr) return;
  LocalCopy* const copy = copies_.Add(key, info.id, info.footprint);
  if (!pending) return copies_.SetShared(copy, info.footprint);
  // A footprint needs no more than sizes.
  Blob blob;
  blob.data = Slice(nullptr, info.size);
  blob.attributes = info.attributes;
  BlobInfo shared = info;
  shared.footprint = remote_->FootprintOf(info.id, blob);
  const absl::Time now = absl::Now();
  copies_.SetPending(copy, std::move(shared), now);
  upload_queue_.emplace(now, key);
}

// ---- calls

absl::Status TieredBlobStore::Begin(size_t limit, uint64_t put_bytes) {
  absl::MutexLock lock(&mutex_);
  if (closed_) return ClosedError();
  if (operations_ >= limit ||
      (put_bytes > 0 && put_bytes_ > 0 && put_bytes_ + put_bytes > options_.max_put_bytes)) {
    return absl::ResourceExhaustedError(fmt::format(
        "tiered store: {} operations, {} bytes of puts under way", operations_, put_bytes_));
  }
  ++operations_;
  put_bytes_ += put_bytes;
  return absl::OkStatus();
}

void TieredBlobStore::End() {
  absl::MutexLock lock(&mutex_);
  --operations_;
}

// ---- Get

void TieredBlobStore::Get(BlobId id, Patience patience,
                          absl::AnyInvocable<void(absl::StatusOr<Blob>) &&> done) {
  absl::Status refused = CheckNotMarker(id);
  if (refused.ok()) refused = Begin(options_.max_operations, 0);
  if (!refused.ok()) return Answer(std::move(done), absl::StatusOr<Blob>(std::move(refused)));
  auto op = std::make_unique<GetOp>(
      GetOp{.key = KeyOf(id), .patience = std::move(patience), .done = std::move(done)});
  op->id = std::move(id);
  bool held = false;
  {
    absl::MutexLock lock(&mutex_);
    LocalCopy* const copy = copies_.Find(op->key);
    held = copy != nullptr && copy->state == LocalCopy::State::kHeld;
    if (held) {
      op->was_pending = copy->pending;
      copies_.Touch(copy);
    } else {
      ++stats_.local_misses;
    }
  }
  if (!held) return Fetch(std::move(op));
  GetOp& o = *op;
  local_->Get(o.id, o.patience, [this, op = std::move(op)](absl::StatusOr<Blob> result) mutable {
    LocalGot(std::move(op), std::move(result));
  });
}

void TieredBlobStore::LocalGot(GetPtr op, absl::StatusOr<Blob> result) {
  const bool final = result.ok() || absl::IsDeadlineExceeded(result.status());
  const bool corrupt = absl::IsDataLoss(result.status());
  {
    absl::MutexLock lock(&mutex_);
    if (result.ok()) {
      ++stats_.local_hits;
    } else if (!final) {
      ++stats_.local_misses;
      stats_.local_corrupt += corrupt;
      stats_.local_errors += !corrupt && !absl::IsNotFound(result.status());
    }
  }
  if (final) {
    Answer(std::move(op->done), std::move(result));
    op.reset();
    return End();
  }
  op->local_status = std::move(result).status();
  const bool missing = absl::IsNotFound(op->local_status);
  if (!missing) {
    spdlog::warn("local copy not read blob={}/{}/{} error=\"{}\"", op->id.account, op->id.container,
                 op->id.name, std::string(op->local_status.message()));
  }
  // What is not there, though it should be, is not to be looked for again either.
  if (corrupt || missing) return DropUnreadable(std::move(op));
  Fetch(std::move(op));
}

// The copy goes first, so that what is fetched can take its place.
void TieredBlobStore::DropUnreadable(GetPtr op) {
  bool drop = false;
  {
    absl::MutexLock lock(&mutex_);
    const LocalCopy* const copy = copies_.Find(op->key);
    // The only copy stays, for whoever asks to hear what became of it. Where the name is busy, the
    // copy is leaving or another.
    drop = copy != nullptr && copy->state == LocalCopy::State::kHeld && !copy->pending &&
           busy_.try_emplace(op->key).second;
  }
  if (!drop) return Fetch(std::move(op));
  GetOp& o = *op;
  DropCopy(o.key, o.id, false, [this, op = std::move(op)](const absl::Status&) mutable {
    {
      absl::MutexLock lock(&mutex_);
      Release(op->key);
    }
    Fetch(std::move(op));
  });
}

void TieredBlobStore::DropDamaged(const BlobId& id) {
  std::string key = KeyOf(id);
  {
    absl::MutexLock lock(&mutex_);
    if (closed_) return;
    const LocalCopy* const copy = copies_.Find(key);
    if (copy == nullptr || copy->state != LocalCopy::State::kHeld || copy->pending) return;
    if (!busy_.try_emplace(key).second) return;
    ++operations_;
    ++stats_.local_corrupt;
  }
  DropCopy(key, id, false, [this, key](const absl::Status&) {
    {
      absl::MutexLock lock(&mutex_);
      Release(key);
    }
    End();
  });
}

void TieredBlobStore::Fetch(GetPtr op) {
  {
    absl::MutexLock lock(&mutex_);
    Fetching& fetching = fetching_[op->key];
    ++fetching.running;
    op->deletes = fetching.deletes;
  }
  GetOp& o = *op;
  remote_->Get(o.id, o.patience, [this, op = std::move(op)](absl::StatusOr<Blob> result) mutable {
    Fetched(std::move(op), std::move(result));
  });
}

void TieredBlobStore::Fetched(GetPtr op, absl::StatusOr<Blob> result) {
  bool fill = false;
  {
    absl::MutexLock lock(&mutex_);
    const auto fetching = fetching_.find(op->key);
    const bool deleted = fetching->second.deletes != op->deletes;
    if (--fetching->second.running == 0) fetching_.erase(fetching);
    if (result.ok()) {
      ++stats_.remote_gets;
      if (!deleted && !IsReserved(op->id) && copies_.Find(op->key) == nullptr) {
        fill = !busy_.contains(op->key) && AddForFill(op->key, op->id, *result);
        if (!fill) ++stats_.fills_skipped;
      }
    }
    if (fill) busy_.try_emplace(op->key);
  }
  // It is not true that there is none: it could not be read.
  if (absl::IsNotFound(result.status()) && op->was_pending && !absl::IsNotFound(op->local_status)) {
    result = op->local_status;
  }
  Blob blob;
  if (fill) blob = *result;
  Answer(std::move(op->done), std::move(result));
  if (!fill) {
    op.reset();
    return End();
  }
  Fill(op->key, op->id, std::move(blob), [this, key = op->key] {
    {
      absl::MutexLock lock(&mutex_);
      Release(key);
    }
    End();
  });
}

// ---- listings

void TieredBlobStore::TellGone(const BlobId& id) {
  {
    absl::MutexLock lock(&mutex_);
    if (copies_.pending().contains(tiered::KeyOf(id))) return;
  }
  remote_->TellGone(id);
}

absl::Status TieredBlobStore::ListUnshared(const std::function<void(BlobInfo)>& visit) {
  std::vector<BlobInfo> pending;
  {
    absl::MutexLock lock(&mutex_);
    if (closed_) return ClosedError();
    pending.reserve(copies_.pending().size());
    for (const auto& [key, copy] : copies_.pending()) pending.push_back(copy->info);
  }
  for (const BlobId& id : lost_) visit({.id = id, .lost = true});
  for (BlobInfo& info : pending) visit(std::move(info));
  return absl::OkStatus();
}

absl::Status TieredBlobStore::ListUntil(const std::shared_ptr<Cancellation>& end,
                                        const std::function<void(BlobInfo)>& visit) {
  KV_RETURN_IF_ERROR(Begin(SIZE_MAX, 0));
  // The pending ones first: a blob that is uploaded meanwhile is then seen, and once.
  absl::flat_hash_set<std::string> seen;
  absl::Status status = ListUnshared([&](BlobInfo info) {
    seen.insert(KeyOf(info.id));
    visit(std::move(info));
  });
  if (end != nullptr && end->cancelled()) status.Update(absl::CancelledError("the listing"));
  if (status.ok()) {
    status = remote_->ListUntil(end, [&](BlobInfo info) {
      if (!seen.contains(KeyOf(info.id))) visit(std::move(info));
    });
  }
  End();
  return status;
}

void TieredBlobStore::Stat(BlobId id, Patience patience, Done<BlobInfo> done) {
  absl::StatusOr<BlobInfo> known = absl::Status(absl::StatusCode::kNotFound, "");
  if (patience.deadline <= absl::Now())
    known = absl::DeadlineExceededError("the deadline had passed");
  if (absl::Status refused = Begin(options_.max_operations, 0); !refused.ok()) {
    return Answer(std::move(done), absl::StatusOr<BlobInfo>(std::move(refused)));
  }
  if (absl::IsNotFound(known.status())) {
    absl::MutexLock lock(&mutex_);
    const auto pending = copies_.pending().find(KeyOf(id));
    if (pending != copies_.pending().end()) known = pending->second->info;
  }
  auto answer = [this, done = std::move(done)](absl::StatusOr<BlobInfo> info) mutable {
    Answer(std::move(done), std::move(info));
    End();
  };
  if (!absl::IsNotFound(known.status())) return answer(std::move(known));
  remote_->Stat(std::move(id), std::move(patience), std::move(answer));
}

void TieredBlobStore::ListPrefix(BlobId prefix, size_t limit, Patience patience,
                                 Done<std::vector<BlobInfo>> done) {
  using Result = absl::StatusOr<std::vector<BlobInfo>>;
  if (absl::Status refused = Begin(options_.max_operations, 0); !refused.ok()) {
    return Answer(std::move(done), Result(std::move(refused)));
  }
  std::vector<BlobInfo> pending;
  {
    const std::string begin = KeyOf(prefix);
    absl::MutexLock lock(&mutex_);
    for (auto it = copies_.pending().lower_bound(begin);
         it != copies_.pending().end() && pending.size() < limit && it->first.starts_with(begin);
         ++it) {
      pending.push_back(it->second->info);
    }
  }
  remote_->ListPrefix(
      std::move(prefix), limit, std::move(patience),
      [this, limit, pending = std::move(pending), done = std::move(done)](Result result) mutable {
        if (result.ok()) {
          absl::flat_hash_set<std::string> names;
          for (const BlobInfo& info : pending) names.insert(info.id.name);
          for (BlobInfo& info : *result) {
            if (pending.size() == limit) break;
            if (!names.contains(info.id.name)) pending.push_back(std::move(info));
          }
          result = std::move(pending);
        }
        Answer(std::move(done), std::move(result));
        End();
      });
}

void TieredBlobStore::Follow(const std::string& account, const std::string& container,
                             BlobListener* listener, absl::Time deadline, FollowDone done) {
  remote_->Follow(account, container, listener, deadline, std::move(done));
}

bool TieredBlobStore::UpToDate(const std::string& account, const std::string& container) const {
  return remote_->UpToDate(account, container);
}

void TieredBlobStore::FindLocal(size_t count, absl::FunctionRef<BlobId(size_t)> id,
                                absl::FunctionRef<void(size_t)> found) const {
  std::vector<std::string> keys;
  keys.reserve(count);
  for (size_t i = 0; i < count; ++i) keys.push_back(KeyOf(id(i)));
  absl::MutexLock lock(&mutex_);
  for (size_t i = 0; i < count; ++i) {
    const LocalCopy* const copy = copies_.Find(keys[i]);
    if (copy != nullptr && copy->state == LocalCopy::State::kHeld) found(i);
  }
}

// ---- numbers

BlobStoreUsage TieredBlobStore::Usage() const {
  uint64_t blobs, bytes;
  {
    absl::MutexLock lock(&mutex_);
    blobs = copies_.pending().size();
    bytes = copies_.pending_footprint();
  }
  BlobStoreUsage usage = remote_->Usage();
  usage.blobs += blobs;
  usage.used_bytes += bytes;
  return usage;
}

uint64_t TieredBlobStore::FootprintOf(const BlobId& id, const Blob& blob) const {
  return remote_->FootprintOf(id, blob);
}

TieredStats TieredBlobStore::stats() const {
  absl::MutexLock lock(&mutex_);
  TieredStats stats = stats_;
  stats.local_bytes = copies_.bytes() + untracked_bytes_;
  const BlobStoreUsage local = local_->Usage();
  stats.local_blobs = local.blobs;
  stats.local_capacity_bytes = local.capacity_bytes;
  stats.pending_blobs = copies_.pending().size();
  stats.pending_bytes = copies_.pending_bytes();
  stats.running_uploads = running_uploads_;
  absl::Time oldest = absl::InfiniteFuture();
  for (const auto& [key, copy] : copies_.pending()) oldest = std::min(oldest, copy->since);
  if (oldest != absl::InfiniteFuture()) stats.oldest_pending_age = absl::Now() - oldest;
  return stats;
}

}  // namespace kvstore
