// TieredBlobStore: Put, Delete, and the copies in the local store.
#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "KVCommon/status_macros.h"
#include "KVService/storage/tiered/pending_marker.h"
#include "KVService/storage/tiered/tiered_op.h"
#include "absl/time/clock.h"

namespace kvstore {

using tiered::IsMarker;
using tiered::IsReserved;
using tiered::KeyOf;
using tiered::LocalCopy;
using tiered::MarkerBlob;
using tiered::MarkerOf;

namespace {

constexpr size_t kMaxIdBytes = 512;

// Evicting begins above the one and ends at the other, in percent of the local capacity: ahead of
// need, and some copies at a time.
constexpr uint64_t kHighWaterPercent = 95;
constexpr uint64_t kLowWaterPercent = 90;

// What either store would refuse: checked before the marker is written.
absl::Status CheckPut(const BlobId& id, const Blob& blob) {
  if (IsMarker(id)) {
    return absl::InvalidArgumentError(
        "account '-', container 'pending' are the tiered store's own");
  }
  const std::string key = KeyOf(id);
  if (key.size() > kMaxIdBytes + 2 || std::count(key.begin(), key.end(), '\0') != 2) {
    return absl::InvalidArgumentError("blob name too long, or with a NUL in it");
  }
  if (blob.data.empty() || blob.attributes.size() > kMaxBlobAttributes) {
    return absl::InvalidArgumentError("blob without data, or with too many attributes");
  }
  return absl::OkStatus();
}

bool IsGone(const absl::Status& deleted) { return deleted.ok() || absl::IsNotFound(deleted); }

}  // namespace

// ---- names

void TieredBlobStore::Acquire(OpPtr op) {
  {
    absl::MutexLock lock(&mutex_);
    const auto [busy, free] = busy_.try_emplace(op->key);
    if (!free) {
      busy->second.push_back(std::move(op));
      return;
    }
  }
  RunOp(std::move(op));
}

// The next one goes on on the tier's thread: here it would recurse, once for each that waits.
void TieredBlobStore::Release(const std::string& key) {
  const auto busy = busy_.find(key);
  if (busy->second.empty()) {
    busy_.erase(busy);
    return;
  }
  ready_.push_back(std::move(busy->second.front()));
  busy->second.pop_front();
}

void TieredBlobStore::RunOp(OpPtr op) {
  switch (op->kind) {
    case Op::Kind::kPut:
      return RunPut(std::move(op));
    case Op::Kind::kDelete:
      return RunDelete(std::move(op));
    case Op::Kind::kUpload:
      return RunUpload(std::move(op));
    case Op::Kind::kDropMarker:
      // The next Open tries again what fails here.
      return local_->Delete(op->id, [this](const absl::Status&) { End(); });
  }
}

void TieredBlobStore::Finish(OpPtr op, absl::Status status) {
  {
    absl::MutexLock lock(&mutex_);
    if (op->kind == Op::Kind::kDelete) {
      const auto fetching = fetching_.find(op->key);
      if (fetching != fetching_.end()) ++fetching->second.deletes;
    }
    put_bytes_ -= op->put_bytes;
    Release(op->key);
  }
  auto done = std::move(op->done);
  op.reset();
  Answer(std::move(done), std::move(status));
  End();
}

// ---- Put

void TieredBlobStore::Put(BlobId id, Blob blob, Patience patience,
                          absl::AnyInvocable<void(absl::Status) &&> done) {
  absl::Status refused = CheckPut(id, blob);
  const uint64_t size = blob.data.size();
  if (refused.ok()) refused = Begin(options_.max_operations, size);
  if (!refused.ok()) return Answer(std::move(done), std::move(refused));
  auto op = std::make_unique<Op>();
  op->kind = Op::Kind::kPut;
  op->key = KeyOf(id);
  op->id = std::move(id);
  op->blob = std::move(blob);
  op->patience = std::move(patience);
  op->done = std::move(done);
  op->put_bytes = size;
  Acquire(std::move(op));
}

TieredBlobStore::Way TieredBlobStore::WayOf(const Op& op) {
  const LocalCopy* const copy = copies_.Find(op.key);
  if (copy != nullptr && copy->pending) return Way::kThere;
  if (!options_.write_back || IsReserved(op.id)) return Way::kThrough;
  const BlobStoreUsage remote = remote_->Usage();
  const uint64_t shared = remote.used_bytes + copies_.pending_footprint() + reserved_footprint_ +
                          remote_->FootprintOf(op.id, op.blob);
  if (remote.capacity_bytes != 0 && shared > remote.capacity_bytes) return Way::kFull;
  if (copy != nullptr) return Way::kThrough;
  const uint64_t bytes = copies_.pending_bytes() + reserved_bytes_ + op.blob.data.size();
  const size_t blobs = copies_.pending().size() + reserved_blobs_;
  if (bytes > options_.max_pending_bytes || blobs >= options_.max_pending_blobs) {
    return Way::kThrough;
  }
  const uint64_t capacity = local_->Usage().capacity_bytes;
  if (capacity != 0 && copies_.bytes() + untracked_bytes_ + op.footprint > capacity) {
    MakeRoom(op.footprint);
    return Way::kThrough;
  }
  return Way::kBack;
}

void TieredBlobStore::RunPut(OpPtr op) {
  if (op->patience.deadline <= absl::Now()) {
    return Finish(std::move(op), absl::DeadlineExceededError("put: the deadline had passed"));
  }
  if (options_.write_back) {
    op->footprint = local_->FootprintOf(op->id, op->blob) +
                    local_->FootprintOf(MarkerOf(op->id), MarkerBlob(op->id));
  }
  Way way;
  {
    absl::MutexLock lock(&mutex_);
    way = WayOf(*op);
    if (way == Way::kThrough && options_.write_back) ++stats_.write_throughs;
    if (way == Way::kBack) {
      copies_.Add(op->key, op->id, op->footprint);
      reserved_bytes_ += op->blob.data.size();
      reserved_footprint_ += remote_->FootprintOf(op->id, op->blob);
      ++reserved_blobs_;
      MakeRoom(0);
    }
  }
  switch (way) {
    case Way::kThere:
      return Finish(std::move(op), absl::Status(absl::StatusCode::kAlreadyExists, ""));
    case Way::kBack:
      return PutBack(std::move(op));
    case Way::kThrough:
      return PutThrough(std::move(op));
    case Way::kFull:
      return RefusePut(std::move(op));
  }
}

// Blob and marker together, so that they share a sync. Whichever a crash leaves alone was not
// acknowledged: a marker without blob is dropped, a blob without marker is a copy like any other.
void TieredBlobStore::PutBack(OpPtr owned) {
  Op* const op = owned.release();  // the one that ends last owns it
  op->left = 2;
  const auto joined = [this, op] {
    if (op->left.fetch_sub(1, std::memory_order_acq_rel) == 1) PutBackDone(OpPtr(op));
  };
  const Patience patience = op->patience;
  BlobId id = op->id;
  Blob blob = op->blob;
  local_->Put(MarkerOf(id), MarkerBlob(id), patience, [op, joined](absl::Status status) {
    // Left behind by an earlier put of the name: it serves.
    op->marker_status = absl::IsAlreadyExists(status) ? absl::OkStatus() : std::move(status);
    joined();
  });
  local_->Put(std::move(id), std::move(blob), patience, [op, joined](absl::Status status) {
    op->blob_status = std::move(status);
    joined();
  });
}

void TieredBlobStore::PutBackDone(OpPtr op) {
  absl::Status status = op->blob_status;
  status.Update(op->marker_status);
  {
    absl::MutexLock lock(&mutex_);
    const uint64_t footprint = remote_->FootprintOf(op->id, op->blob);
    const uint64_t size = op->blob.data.size();
    reserved_bytes_ -= size;
    reserved_footprint_ -= footprint;
    --reserved_blobs_;
    if (status.ok()) {
      const absl::Time now = absl::Now();
      copies_.SetPending(copies_.Find(op->key), {op->id, size, footprint, op->blob.attributes},
                         now);
      upload_queue_.emplace(now, op->key);
      wake_ = true;
    } else {
      MakeRoom(absl::IsResourceExhausted(status) ? op->footprint : 0);
      stats_.write_throughs += !absl::IsDeadlineExceeded(status);
    }
  }
  if (status.ok()) return Finish(std::move(op), std::move(status));
  Op& o = *op;
  DropCopy(o.key, o.id, true,
           [this, status = std::move(status),
            op = std::move(op)](const absl::Status& /*dropped*/) mutable {
             if (absl::IsDeadlineExceeded(status)) return Finish(std::move(op), std::move(status));
             spdlog::warn("put not taken locally, so put remotely blob={}/{}/{} error=\"{}\"",
                          op->id.account, op->id.container, op->id.name,
                          std::string(status.message()));
             PutThrough(std::move(op));
           });
}

void TieredBlobStore::PutThrough(OpPtr op) {
  BlobId id = op->id;
  Blob blob = op->blob;
  Patience patience = op->patience;
  remote_->Put(std::move(id), std::move(blob), std::move(patience),
               [this, op = std::move(op)](absl::Status status) mutable {
                 PutThroughDone(std::move(op), std::move(status));
               });
}

void TieredBlobStore::PutThroughDone(OpPtr op, absl::Status status) {
  // A name that was taken may stand for another writer's bytes: a Get will bring those.
  if (!status.ok()) return Finish(std::move(op), std::move(status));
  bool stale = false;
  {
    absl::MutexLock lock(&mutex_);
    stale = copies_.Find(op->key) != nullptr;
  }
  if (!stale) return AnswerAndFill(std::move(op));
  // A copy of what another server has deleted, or of a put that a crash cut off.
  Op& o = *op;
  DropCopy(o.key, o.id, false, [this, op = std::move(op)](const absl::Status&) mutable {
    AnswerAndFill(std::move(op));
  });
}

void TieredBlobStore::AnswerAndFill(OpPtr op) {
  bool fill = false;
  {
    absl::MutexLock lock(&mutex_);
    if (!IsReserved(op->id)) {
      fill = copies_.Find(op->key) == nullptr && AddForFill(op->key, op->id, op->blob);
      if (!fill) ++stats_.fills_skipped;
    }
    if (fill) put_bytes_ -= std::exchange(op->put_bytes, 0);
  }
  if (!fill) return Finish(std::move(op), absl::OkStatus());
  // The name is held until the copy is there: a Delete that comes now deletes it too.
  Answer(std::move(op->done), absl::OkStatus());
  Fill(op->key, op->id, std::move(op->blob), [this, key = op->key] {
    {
      absl::MutexLock lock(&mutex_);
      Release(key);
    }
    End();
  });
}

// The remote store's capacity has no room beside what is pending; but whether the name is taken is
// the better news.
void TieredBlobStore::RefusePut(OpPtr op) {
  BlobId id = op->id;
  Patience patience = op->patience;
  remote_->Stat(
      std::move(id), std::move(patience),
      [this, op = std::move(op)](const absl::StatusOr<BlobInfo>& found) mutable {
        absl::Status status = found.status();
        if (status.ok()) {
          status = absl::Status(absl::StatusCode::kAlreadyExists, "");
        } else if (absl::IsNotFound(status)) {
          status = absl::ResourceExhaustedError(fmt::format(
              "tiered store: {} bytes would exceed the remote capacity", op->blob.data.size()));
        }
        Finish(std::move(op), std::move(status));
      });
}

// ---- Delete

void TieredBlobStore::Delete(BlobId id, absl::AnyInvocable<void(absl::Status) &&> done) {
  absl::Status refused;
  if (IsMarker(id)) refused = absl::InvalidArgumentError("the tiered store's own");
  // It makes room: what is waiting must not keep it out.
  if (refused.ok()) refused = Begin(2 * options_.max_operations, 0);
  if (!refused.ok()) return Answer(std::move(done), std::move(refused));
  auto op = std::make_unique<Op>();
  op->kind = Op::Kind::kDelete;
  op->key = KeyOf(id);
  op->id = std::move(id);
  op->done = std::move(done);
  Acquire(std::move(op));
}

// The remote blob first: where that fails nothing has changed. Also of a pending one, whose upload
// may have been done and the answer lost.
void TieredBlobStore::RunDelete(OpPtr op) {
  BlobId id = op->id;
  remote_->Delete(std::move(id), [this, op = std::move(op)](absl::Status status) mutable {
    RemoteDeleted(std::move(op), std::move(status));
  });
}

void TieredBlobStore::RemoteDeleted(OpPtr op, absl::Status status) {
  bool local = false, marked = false;
  if (IsGone(status)) {
    absl::MutexLock lock(&mutex_);
    const LocalCopy* const copy = copies_.Find(op->key);
    local = copy != nullptr;
    marked = local && copy->pending;
  }
  if (!local) return Finish(std::move(op), std::move(status));
  Op& o = *op;
  DropCopy(o.key, o.id, marked, [this, op = std::move(op)](absl::Status dropped) mutable {
    Finish(std::move(op), std::move(dropped));
  });
}

// ---- copies

bool TieredBlobStore::AddForFill(const std::string& key, const BlobId& id, const Blob& blob) {
  const uint64_t size = blob.data.size();
  if (fill_bytes_ > 0 && fill_bytes_ + size > options_.max_fill_bytes) return false;
  const uint64_t footprint = local_->FootprintOf(id, blob);
  const uint64_t capacity = local_->Usage().capacity_bytes;
  if (capacity != 0 && copies_.bytes() + untracked_bytes_ + footprint > capacity) {
    MakeRoom(footprint);
    return false;
  }
  fill_bytes_ += size;
  copies_.Add(key, id, footprint);
  MakeRoom(0);
  return true;
}

void TieredBlobStore::Fill(std::string key, BlobId id, Blob blob,
                           absl::AnyInvocable<void() &&> then) {
  const uint64_t size = blob.data.size();
  local_->Put(std::move(id), std::move(blob), absl::InfiniteFuture(),
              [this, size, key = std::move(key),
               then = std::move(then)](const absl::Status& status) mutable {
                {
                  absl::MutexLock lock(&mutex_);
                  fill_bytes_ -= size;
                  LocalCopy* const copy = copies_.Find(key);
                  ++(status.ok() ? stats_.fills : stats_.fill_failures);
                  // One that was not known, such as the remains of a failed Delete, is from now on.
                  if (status.ok() || absl::IsAlreadyExists(status)) {
                    copies_.SetShared(copy, copy->footprint);
                  } else {
                    const uint64_t footprint = copy->footprint;
                    copies_.Remove(key);
                    if (absl::IsResourceExhausted(status)) MakeRoom(footprint);
                  }
                }
                std::move(then)();
              });
}

void TieredBlobStore::DropCopy(std::string key, BlobId id, bool marked, Next next) {
  {
    absl::MutexLock lock(&mutex_);
    copies_.SetLeaving(copies_.Find(key));
  }
  BlobId copy_id = id;
  local_->Delete(std::move(copy_id), [this, key = std::move(key), id = std::move(id), marked,
                                      next = std::move(next)](absl::Status status) mutable {
    const bool gone = IsGone(status);
    {
      absl::MutexLock lock(&mutex_);
      // What could not be deleted is still there, for eviction to try again.
      gone ? copies_.Remove(key) : copies_.SetStaying(copies_.Find(key));
    }
    if (!gone) return std::move(next)(std::move(status));
    if (!marked) return std::move(next)(absl::OkStatus());
    // A marker without a blob says nothing, so it does not matter if this fails.
    local_->Delete(MarkerOf(id), [next = std::move(next)](const absl::Status&) mutable {
      std::move(next)(absl::OkStatus());
    });
  });
}

void TieredBlobStore::MakeRoom(uint64_t need) {
  // The disk may have less than the capacity it was given; it says so here.
  const uint64_t capacity = local_->Usage().capacity_bytes;
  if (capacity == 0 || need > capacity) return;
  const uint64_t staying = copies_.bytes() - copies_.leaving_bytes() + untracked_bytes_;
  const uint64_t most = need == 0 ? capacity / 100 * kHighWaterPercent : capacity - need;
  if (staying <= most) return;
  evict_down_to_ = std::min({evict_down_to_, capacity / 100 * kLowWaterPercent, capacity - need});
  wake_ = true;
}

}  // namespace kvstore
