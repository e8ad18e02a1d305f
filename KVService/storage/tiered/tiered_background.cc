// TieredBlobStore: what its thread begins, uploads and evictions, and how it all ends.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "KVCommon/status_macros.h"
#include "KVService/storage/tiered/pending_marker.h"
#include "KVService/storage/tiered/tiered_op.h"
#include "absl/time/clock.h"

namespace kvstore {

using tiered::LocalCopy;
using tiered::MarkerBlob;
using tiered::MarkerOf;

namespace {

constexpr size_t kMaxEvictions = 16;  // under way
constexpr size_t kMaxBusyNames = 16;  // passed over in search of one to evict
constexpr absl::Duration kEvictPause = absl::Milliseconds(20);  // where all of those were busy
constexpr absl::Duration kEvictRetry = absl::Seconds(1);        // after one that failed

// Whether a pause, which was of `longest` at most, is over. One that ends later than that from now
// was begun before the wall clock was set back.
bool HasCome(absl::Time until, absl::Duration longest) {
  const absl::Duration left = until - absl::Now();
  return left <= absl::ZeroDuration() || left > longest;
}

// Whether it says something about the remote store rather than about the blob.
bool IsOfTheStore(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
         absl::IsResourceExhausted(status) || absl::IsInternal(status);
}

}  // namespace

// ---- the thread

bool TieredBlobStore::Crowded() const {
  return copies_.bytes() - copies_.leaving_bytes() + untracked_bytes_ > evict_down_to_;
}

bool TieredBlobStore::UploadDue() const {
  // While the remote store fails, one at a time finds out when it no longer does.
  const size_t most = failures_in_a_row_ > 0 ? std::min<size_t>(1, options_.upload_concurrency)
                                             : options_.upload_concurrency;
  if (stopping_ || running_uploads_ >= most || upload_queue_.empty()) return false;
  return HasCome(std::max(upload_queue_.begin()->first, upload_pause_until_), options_.retry_max);
}

bool TieredBlobStore::EvictionDue() const {
  return !stopping_ && running_evictions_ < kMaxEvictions && Crowded() &&
         copies_.Coldest() != nullptr && HasCome(evict_pause_until_, kEvictRetry);
}

bool TieredBlobStore::HasWork() const {
  return stopped_ || wake_ || !ready_.empty() || UploadDue() || EvictionDue();
}

absl::Time TieredBlobStore::NextDue() const {
  const absl::Time now = absl::Now();
  absl::Time next = absl::InfiniteFuture();
  if (!stopping_ && !upload_queue_.empty()) {
    const absl::Time due = std::max(upload_queue_.begin()->first, upload_pause_until_);
    if (due > now) next = due;  // else one that runs must end first
  }
  if (Crowded() && evict_pause_until_ > now) next = std::min(next, evict_pause_until_);
  return next;
}

void TieredBlobStore::Run() {
  for (;;) {
    std::deque<OpPtr> ready;
    std::vector<OpPtr> uploads;
    std::vector<std::pair<std::string, BlobId>> evictions;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.AwaitWithDeadline(absl::Condition(this, &TieredBlobStore::HasWork), NextDue());
      if (stopped_) return;
      wake_ = false;
      ready.swap(ready_);
      uploads = TakeUploads();
      evictions = TakeEvictions();
    }
    for (OpPtr& op : ready) RunOp(std::move(op));
    for (OpPtr& op : uploads) Acquire(std::move(op));
    for (auto& [key, id] : evictions) Evict(std::move(key), std::move(id));
  }
}

// ---- eviction

std::vector<std::pair<std::string, BlobId>> TieredBlobStore::TakeEvictions() {
  std::vector<std::pair<std::string, BlobId>> taken;
  size_t busy = 0;
  while (EvictionDue()) {
    LocalCopy* const copy = copies_.Coldest();
    std::string key = tiered::KeyOf(copy->id);
    if (!busy_.try_emplace(key).second) {
      copies_.Touch(copy);  // somebody wants it
      if (++busy == kMaxBusyNames) evict_pause_until_ = absl::Now() + kEvictPause;
      continue;
    }
    ++running_evictions_;
    copies_.SetLeaving(copy);
    taken.emplace_back(std::move(key), copy->id);
  }
  if (!Crowded()) evict_down_to_ = UINT64_MAX;  // until the high water is reached again
  return taken;
}

void TieredBlobStore::Evict(std::string key, BlobId id) {
  local_->Delete(std::move(id), [this, key = std::move(key)](const absl::Status& status) {
    if (!status.ok() && !absl::IsNotFound(status)) {
      spdlog::warn("local copy not evicted error=\"{}\"", std::string(status.message()));
    }
    absl::MutexLock lock(&mutex_);
    if (status.ok() || absl::IsNotFound(status)) {
      copies_.Remove(key);
      ++stats_.evictions;
    } else {
      copies_.SetStaying(copies_.Find(key));
      evict_pause_until_ = absl::Now() + kEvictRetry;
    }
    Release(key);
    --running_evictions_;
    wake_ = true;
  });
}

// ---- uploads

std::vector<TieredBlobStore::OpPtr> TieredBlobStore::TakeUploads() {
  std::vector<OpPtr> taken;
  while (UploadDue()) {
    const std::string key = std::move(upload_queue_.begin()->second);
    upload_queue_.erase(upload_queue_.begin());
    const auto pending = copies_.pending().find(key);
    if (pending == copies_.pending().end() || pending->second->damaged) continue;
    ++running_uploads_;
    auto op = std::make_unique<Op>();
    op->kind = Op::Kind::kUpload;
    op->key = key;
    op->id = pending->second->id;
    taken.push_back(std::move(op));
  }
  return taken;
}

void TieredBlobStore::RunUpload(OpPtr op) {
  bool pending = false;
  {
    absl::MutexLock lock(&mutex_);
    // It may have been deleted while this one waited for the name.
    pending = copies_.pending().contains(op->key);
    op->patience.deadline = std::min(absl::Now() + options_.upload_timeout, drain_until_);
  }
  if (!pending) return EndUpload(std::move(op));
  BlobId id = op->id;
  const absl::Time deadline = op->patience.deadline;
  local_->Get(std::move(id), deadline, [this, op = std::move(op)](absl::StatusOr<Blob> b) mutable {
    SendUpload(std::move(op), std::move(b));
  });
}

void TieredBlobStore::SendUpload(OpPtr op, absl::StatusOr<Blob> blob) {
  if (blob.ok()) {
    BlobId id = op->id;
    const absl::Time deadline = op->patience.deadline;
    return remote_->Put(std::move(id), *std::move(blob), deadline,
                        [this, op = std::move(op)](absl::Status status) mutable {
                          Uploaded(std::move(op), std::move(status));
                        });
  }
  if (!absl::IsDataLoss(blob.status()) && !absl::IsNotFound(blob.status())) {
    return UploadFailed(std::move(op), blob.status());
  }
  spdlog::error("acknowledged blob cannot be read and is not uploaded blob={}/{}/{} error=\"{}\"",
                op->id.account, op->id.container, op->id.name,
                std::string(blob.status().message()));
  {
    absl::MutexLock lock(&mutex_);
    copies_.Find(op->key)->damaged = true;
    ++stats_.pending_damaged;
  }
  EndUpload(std::move(op));
}

void TieredBlobStore::Uploaded(OpPtr op, absl::Status status) {
  const bool taken = absl::IsAlreadyExists(status);
  if (!status.ok() && !taken) return UploadFailed(std::move(op), status);
  {
    absl::MutexLock lock(&mutex_);
    ++stats_.uploads;
    failures_in_a_row_ = 0;
    upload_pause_until_ = absl::InfinitePast();
    LocalCopy* const copy = copies_.Find(op->key);
    const uint64_t marker = local_->FootprintOf(MarkerOf(op->id), MarkerBlob(op->id));
    copies_.SetShared(copy, copy->footprint - std::min(copy->footprint, marker));
  }
  Op& o = *op;
  auto end = [this, op = std::move(op)](const absl::Status&) mutable { EndUpload(std::move(op)); };
  // Somebody else's bytes are the blob, unless an earlier attempt of ours got through: either way
  // a Get brings them.
  if (taken) return DropCopy(o.key, o.id, true, std::move(end));
  // Should this fail, the next Open uploads once more and finds the name taken.
  local_->Delete(MarkerOf(o.id), std::move(end));
}

void TieredBlobStore::UploadFailed(OpPtr op, const absl::Status& status) {
  int failures = 0;
  {
    absl::MutexLock lock(&mutex_);
    ++stats_.upload_failures;
    const auto pause = [this](int count) {
      const double factor = std::min(absl::FDivDuration(options_.retry_max, options_.retry_min),
                                     static_cast<double>(1ull << std::min(count - 1, 40)));
      return options_.retry_min * factor;
    };
    const absl::Time now = absl::Now();
    LocalCopy* const copy = copies_.Find(op->key);
    upload_queue_.emplace(now + pause(++copy->attempts), op->key);
    if (IsOfTheStore(status)) {
      failures = ++failures_in_a_row_;
      upload_pause_until_ = now + pause(failures);
    }
    drain_failed_ = drain_until_ != absl::InfiniteFuture();
  }
  if (failures <= 1) {
    spdlog::warn("upload failed and is tried again blob={}/{}/{} error=\"{}\"", op->id.account,
                 op->id.container, op->id.name, std::string(status.message()));
  }
  EndUpload(std::move(op));
}

void TieredBlobStore::EndUpload(OpPtr op) {
  absl::MutexLock lock(&mutex_);
  Release(op->key);
  --running_uploads_;
  wake_ = true;
}

bool TieredBlobStore::UploadsDone() const { return running_uploads_ == 0 && upload_queue_.empty(); }

absl::Status TieredBlobStore::WaitForUploads(absl::Time deadline) {
  absl::MutexLock lock(&mutex_);
  if (mutex_.AwaitWithDeadline(absl::Condition(this, &TieredBlobStore::UploadsDone), deadline)) {
    return absl::OkStatus();
  }
  return absl::DeadlineExceededError("tiered store: uploads are still under way");
}

// ---- the end

bool TieredBlobStore::InCallback() const {
  return tiered::in_callback_of == this || thread_.get_id() == std::this_thread::get_id();
}

absl::Status TieredBlobStore::Close() {
  if (InCallback()) {
    return absl::FailedPreconditionError("tiered store: Close called from one of its callbacks");
  }
  absl::MutexLock close_lock(&close_mutex_);
  if (close_done_) return close_status_;
  close_done_ = true;
  {
    absl::MutexLock lock(&mutex_);
    closed_ = true;
    const auto idle = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return operations_ == 0; };
    mutex_.Await(absl::Condition(&idle));

    // Without waiting out a pause: this is the last chance before the next start.
    drain_until_ = absl::Now() + options_.drain;
    upload_pause_until_ = absl::InfinitePast();
    wake_ = true;
    const auto drained = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return UploadsDone() || drain_failed_ || options_.upload_concurrency == 0;
    };
    mutex_.AwaitWithDeadline(absl::Condition(&drained), drain_until_);

    stopping_ = true;
    const auto quiet = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return running_uploads_ == 0 && running_evictions_ == 0;
    };
    mutex_.Await(absl::Condition(&quiet));
    stopped_ = true;
    if (!copies_.pending().empty()) {
      spdlog::info("blobs left to upload after the next start blobs={} bytes={}",
                   copies_.pending().size(), copies_.pending_bytes());
    }
  }
  if (thread_.joinable()) thread_.join();
  close_status_ = local_->Close();
  close_status_.Update(remote_->Close());
  return close_status_;
}

TieredBlobStore::~TieredBlobStore() {
  KV_CHECK(!InCallback());  // to wait for the callback that we are in would take for ever
  TieredBlobStore::Close().IgnoreError();  // who wants to know calls it
}

}  // namespace kvstore
