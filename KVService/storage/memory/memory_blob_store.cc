#include "KVService/storage/memory/memory_blob_store.h"

#include <algorithm>
#include <utility>

#include "KVCommon/digest.h"
#include "KVCommon/status_macros.h"
#include "absl/time/clock.h"

namespace kvstore {
namespace {

constexpr size_t kMaxIdBytes = 512;

// Joins with NULs, which names do not have.
absl::StatusOr<std::string> KeyOf(const BlobId& id) {
  std::string key = id.account;
  key.append(1, '\0').append(id.container).append(1, '\0').append(id.name);
  const bool extra_nul = std::count(key.begin(), key.end(), '\0') != 2;
  if (key.size() > kMaxIdBytes + 2 || extra_nul) {
    return absl::InvalidArgumentError("blob name too long, or with a NUL in it");
  }
  return key;
}

absl::Status TakeFailure(std::deque<absl::Status>& failures) {
  if (failures.empty()) return absl::OkStatus();
  absl::Status status = std::move(failures.front());
  failures.pop_front();
  return status;
}

absl::Status CheckDeadline(absl::Time deadline) {
  if (deadline > absl::Now()) return absl::OkStatus();
  return absl::DeadlineExceededError("memory store: deadline passed");
}

}  // namespace

MemoryBlobStore::MemoryBlobStore(uint64_t capacity_bytes) : capacity_bytes_(capacity_bytes) {}

MemoryBlobStore::~MemoryBlobStore() { Close().IgnoreError(); }

absl::Status MemoryBlobStore::CheckOpen() const {
  return closed_ ? absl::UnavailableError("memory store is closed") : absl::OkStatus();
}

absl::Status MemoryBlobStore::DoPut(const BlobId& id, Blob blob, absl::Time deadline) {
  KV_ASSIGN_OR_RETURN(const std::string key, KeyOf(id));
  if (blob.data.empty() || blob.attributes.size() > kMaxBlobAttributes) {
    return absl::InvalidArgumentError("blob without data, or with too many attributes");
  }
  KV_RETURN_IF_ERROR(CheckDeadline(deadline));
  absl::MutexLock lock(&mutex_);
  KV_RETURN_IF_ERROR(CheckOpen());
  KV_RETURN_IF_ERROR(TakeFailure(put_failures_));
  if (blobs_.contains(key)) return absl::Status(absl::StatusCode::kAlreadyExists, "");
  const uint64_t footprint = FootprintOf(id, blob);
  if (capacity_bytes_ != 0 && used_bytes_ + footprint > capacity_bytes_) {
    return absl::ResourceExhaustedError("memory store is full");
  }
  used_bytes_ += footprint;
  blobs_.emplace(key, std::pair(id, std::move(blob)));
  return absl::OkStatus();
}

absl::StatusOr<Blob> MemoryBlobStore::DoGet(const BlobId& id, absl::Time deadline) {
  KV_ASSIGN_OR_RETURN(const std::string key, KeyOf(id));
  KV_RETURN_IF_ERROR(CheckDeadline(deadline));
  Blob blob;
  {
    absl::MutexLock lock(&mutex_);
    KV_RETURN_IF_ERROR(CheckOpen());
    KV_RETURN_IF_ERROR(TakeFailure(get_failures_));
    const auto it = blobs_.find(key);
    if (it == blobs_.end()) return absl::Status(absl::StatusCode::kNotFound, "");
    blob = it->second.second;
  }
  if (Crc32c(blob.data.bytes()) != blob.crc32c) {
    return absl::DataLossError("memory store: the data fails its checksum");
  }
  return blob;
}

absl::Status MemoryBlobStore::DoDelete(const BlobId& id) {
  KV_ASSIGN_OR_RETURN(const std::string key, KeyOf(id));
  absl::MutexLock lock(&mutex_);
  KV_RETURN_IF_ERROR(CheckOpen());
  KV_RETURN_IF_ERROR(TakeFailure(delete_failures_));
  const auto it = blobs_.find(key);
  if (it == blobs_.end()) return absl::Status(absl::StatusCode::kNotFound, "");
  used_bytes_ -= FootprintOf(it->second.first, it->second.second);
  blobs_.erase(it);
  return absl::OkStatus();
}

void MemoryBlobStore::Finish(Callback callback) {
  {
    absl::MutexLock lock(&mutex_);
    if (holding_) {
      held_.push_back(std::move(callback));
      return;
    }
  }
  std::move(callback)();
}

void MemoryBlobStore::Put(BlobId id, Blob blob, Patience patience,
                          absl::AnyInvocable<void(absl::Status) &&> done) {
  absl::Status status = DoPut(id, std::move(blob), patience.deadline);
  Finish([done = std::move(done), status = std::move(status)]() mutable {
    std::move(done)(std::move(status));
  });
}

void MemoryBlobStore::Get(BlobId id, Patience patience,
                          absl::AnyInvocable<void(absl::StatusOr<Blob>) &&> done) {
  absl::StatusOr<Blob> blob = DoGet(id, patience.deadline);
  Finish([done = std::move(done), blob = std::move(blob)]() mutable {
    std::move(done)(std::move(blob));
  });
}

void MemoryBlobStore::Delete(BlobId id, absl::AnyInvocable<void(absl::Status) &&> done) {
  absl::Status status = DoDelete(id);
  Finish([done = std::move(done), status = std::move(status)]() mutable {
    std::move(done)(std::move(status));
  });
}

absl::Status MemoryBlobStore::ListUntil(const std::shared_ptr<Cancellation>& end,
                                        const std::function<void(BlobInfo)>& visit) {
  std::vector<BlobInfo> infos;
  {
    absl::MutexLock lock(&mutex_);
    KV_RETURN_IF_ERROR(CheckOpen());
    for (const auto& [key, entry] : blobs_) {
      const auto& [id, blob] = entry;
      infos.push_back({id, blob.data.size(), FootprintOf(id, blob), blob.attributes});
    }
  }
  for (BlobInfo& info : infos) {
    if (end != nullptr && end->cancelled()) return absl::CancelledError("the listing");
    visit(std::move(info));
  }
  return absl::OkStatus();
}

void MemoryBlobStore::ListPrefix(BlobId prefix, size_t limit, Patience /*patience*/,
                                 Done<std::vector<BlobInfo>> done) {
  std::vector<BlobInfo> found;
  const absl::Status status = List([&](BlobInfo info) {
    const BlobId& id = info.id;
    if (found.size() < limit && id.account == prefix.account && id.container == prefix.container &&
        id.name.starts_with(prefix.name)) {
      found.push_back(std::move(info));
    }
  });
  if (!status.ok()) return std::move(done)(status);
  std::move(done)(std::move(found));
}

BlobStoreUsage MemoryBlobStore::Usage() const {
  absl::MutexLock lock(&mutex_);
  return {blobs_.size(), used_bytes_, capacity_bytes_};
}

uint64_t MemoryBlobStore::FootprintOf(const BlobId& id, const Blob& blob) const {
  return id.account.size() + id.container.size() + id.name.size() + blob.attributes.size() +
         blob.data.size();
}

absl::Status MemoryBlobStore::Close() {
  {
    absl::MutexLock lock(&mutex_);
    closed_ = true;
  }
  ReleaseCallbacks();
  return absl::OkStatus();
}

void MemoryBlobStore::FailNextPut(absl::Status status) {
  absl::MutexLock lock(&mutex_);
  put_failures_.push_back(std::move(status));
}

void MemoryBlobStore::FailNextGet(absl::Status status) {
  absl::MutexLock lock(&mutex_);
  get_failures_.push_back(std::move(status));
}

void MemoryBlobStore::FailNextDelete(absl::Status status) {
  absl::MutexLock lock(&mutex_);
  delete_failures_.push_back(std::move(status));
}

size_t MemoryBlobStore::delete_failures_left() const {
  absl::MutexLock lock(&mutex_);
  return delete_failures_.size();
}

void MemoryBlobStore::HoldCallbacks() {
  absl::MutexLock lock(&mutex_);
  holding_ = true;
}

void MemoryBlobStore::ReleaseCallbacks() {
  std::vector<Callback> held;
  {
    absl::MutexLock lock(&mutex_);
    holding_ = false;
    held.swap(held_);
  }
  for (Callback& callback : held) std::move(callback)();
}

size_t MemoryBlobStore::held_callbacks() const {
  absl::MutexLock lock(&mutex_);
  return held_.size();
}

bool MemoryBlobStore::Corrupt(const BlobId& id) {
  const absl::StatusOr<std::string> key = KeyOf(id);
  if (!key.ok()) return false;
  absl::MutexLock lock(&mutex_);
  const auto it = blobs_.find(*key);
  if (it == blobs_.end()) return false;
  // A copy: readers may hold the slice that is stored.
  Slice& data = it->second.second.data;
  Buffer damaged = Buffer::Allocate(data.size());
  std::copy(data.bytes().begin(), data.bytes().end(), damaged.data());
  damaged.data()[data.size() / 2] ^= std::byte{1};
  data = std::move(damaged).Freeze();
  return true;
}

}  // namespace kvstore
