#include "KVService/storage/azure/azure_blob_store.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <future>

#include "KVCommon/status_macros.h"
#include "KVService/storage/azure/blob_name.h"
#include "KVService/storage/azure/stored_form.h"
#include "absl/time/clock.h"

namespace kvstore {

using azure::BlobContent;
using azure::BlobProperties;

struct AzureBlobStore::Op {
  enum class Kind { kPut, kGet, kDelete };

  Kind kind;
  BlobId id;
  Blob blob;  // to be put
  absl::Time deadline;
  // One of these, as the kind says.
  absl::AnyInvocable<void(absl::Status) &&> done;
  absl::AnyInvocable<void(absl::StatusOr<Blob>) &&> got;

  // Known once it began.
  std::shared_ptr<azure::BlobContainer> container;
  std::string name;  // Azure's
  int attempts = 0;  // of the whole, above the pipeline's own
};

namespace {

// Each needs damage on the way, or another's delete and put, just between two requests of ours.
constexpr int kMaxGetAttempts = 2;
constexpr int kMaxDeleteAttempts = 8;
// Beyond it those that nobody uses are dropped: credentials that were renewed leave theirs behind.
constexpr size_t kMaxPipelines = 64;

}  // namespace

AzureBlobStore::AzureBlobStore(HttpClient* http, AzureResolver* resolver,
                               const AzureOptions& options)
    : http_(http), resolver_(resolver), options_(options) {}

AzureBlobStore::~AzureBlobStore() {
  // To wait for the callback that we are in would take for ever.
  KV_CHECK(!http_->OnClientThread());
  AzureBlobStore::Close().IgnoreError();  // cannot fail elsewhere
}

absl::StatusOr<AzureBlobStore::Place> AzureBlobStore::PlaceOf(const std::string& account,
                                                              const std::string& container) {
  KV_ASSIGN_OR_RETURN(AzurePlace place, resolver_->Resolve(account, container));
  absl::MutexLock lock(&mutex_);
  if (pipelines_.size() > kMaxPipelines) {
    std::erase_if(pipelines_, [](const auto& entry) { return entry.second.use_count() == 1; });
  }
  std::shared_ptr<azure::Pipeline>& pipeline = pipelines_[{place.endpoint, place.credential}];
  if (pipeline == nullptr) {
    pipeline = azure::Pipeline::Make(http_, place.credential, options_.pipeline);
  }
  Place found;
  found.prefix = place.prefix;
  found.container = std::make_shared<azure::BlobContainer>(
      pipeline, azure::ContainerAddress{place.endpoint, place.container});
  return found;
}

absl::Status AzureBlobStore::Begin(Op& op) {
  KV_RETURN_IF_ERROR(azure::CheckId(op.id));
  if (op.kind == Op::Kind::kPut) KV_RETURN_IF_ERROR(azure::CheckBlob(op.blob));
  const absl::Time now = absl::Now();
  if (op.deadline <= now) return absl::DeadlineExceededError("the deadline had passed");
  op.deadline = std::min(op.deadline, now + options_.max_time);
  KV_ASSIGN_OR_RETURN(Place place, PlaceOf(op.id.account, op.id.container));
  op.container = std::move(place.container);
  op.name = place.prefix + azure::EncodeBlobName(op.id.name);
  if (op.name.size() > azure::kMaxBlobNameBytes) {
    return absl::InvalidArgumentError(
        fmt::format("blob name of {} bytes in Azure Blob Storage", op.name.size()));
  }
  const uint64_t bytes = op.blob.data.size();
  absl::MutexLock lock(&mutex_);
  if (closed_) return absl::UnavailableError("the Azure blob store is closed");
  // A put beyond the bound is taken in alone; gets pass it.
  const bool too_many_bytes = bytes > 0 && pending_put_bytes_ > 0 &&
                              pending_put_bytes_ + bytes > options_.max_pending_put_bytes;
  if (pending_ >= options_.max_pending || too_many_bytes) {
    return absl::ResourceExhaustedError(fmt::format(
        "Azure blob store: {} operations, {} bytes of puts pending", pending_, pending_put_bytes_));
  }
  ++pending_;
  pending_put_bytes_ += bytes;
  return absl::OkStatus();
}

void AzureBlobStore::Finish(std::unique_ptr<Op> op, absl::StatusOr<Blob> result) {
  const uint64_t bytes = op->blob.data.size();
  absl::Status status = azure::AsStoreError(result.status());
  if (op->kind != Op::Kind::kGet) {
    std::move(op->done)(std::move(status));
  } else if (status.ok()) {
    std::move(op->got)(std::move(result));
  } else {
    std::move(op->got)(std::move(status));
  }
  op.reset();
  // Last, since Close promises that the callbacks have run.
  absl::MutexLock lock(&mutex_);
  pending_put_bytes_ -= bytes;
  --pending_;
}

bool AzureBlobStore::Reserve(uint64_t bytes) {
  absl::MutexLock lock(&mutex_);
  const uint64_t used = std::max<int64_t>(used_bytes_, 0);
  if (options_.capacity_bytes != 0 && used + reserved_bytes_ + bytes > options_.capacity_bytes) {
    return false;
  }
  reserved_bytes_ += bytes;
  return true;
}

void AzureBlobStore::Put(BlobId id, Blob blob, absl::Time deadline,
                         absl::AnyInvocable<void(absl::Status) &&> done) {
  auto op = std::make_unique<Op>(
      Op{Op::Kind::kPut, std::move(id), std::move(blob), deadline, std::move(done)});
  if (absl::Status refused = Begin(*op); !refused.ok()) {
    return std::move(op->done)(std::move(refused));
  }
  Reserve(op->blob.data.size()) ? SendPut(std::move(op)) : RefusePut(std::move(op));
}

void AzureBlobStore::SendPut(std::unique_ptr<Op> op) {
  Op& o = *op;
  o.container->PutIfAbsent(o.name, o.blob.data, azure::MetadataOf(o.blob), o.deadline,
                           [this, op = std::move(op)](absl::Status status) mutable {
                             {
                               const uint64_t bytes = op->blob.data.size();
                               absl::MutexLock lock(&mutex_);
                               reserved_bytes_ -= bytes;
                               if (status.ok()) {
                                 used_places_.emplace(op->id.account, op->id.container);
                                 ++blobs_;
                                 used_bytes_ += static_cast<int64_t>(bytes);
                               }
                             }
                             if (status.ok()) return Finish(std::move(op), Blob());
                             Finish(std::move(op), std::move(status));
                           });
}

// No room; but whether the name is taken is the better news.
void AzureBlobStore::RefusePut(std::unique_ptr<Op> op) {
  Op& o = *op;
  o.container->Properties(
      o.name, o.deadline,
      [this, op = std::move(op)](const absl::StatusOr<BlobProperties>& found) mutable {
        absl::Status status = found.status();
        if (status.ok()) {
          status = absl::Status(absl::StatusCode::kAlreadyExists, "");
        } else if (absl::IsNotFound(status)) {
          status = absl::ResourceExhaustedError(
              fmt::format("Azure blob store: {} bytes would exceed its capacity of {}",
                          op->blob.data.size(), options_.capacity_bytes));
        }
        Finish(std::move(op), std::move(status));
      });
}

void AzureBlobStore::Get(BlobId id, absl::Time deadline,
                         absl::AnyInvocable<void(absl::StatusOr<Blob>) &&> done) {
  auto op = std::make_unique<Op>(
      Op{Op::Kind::kGet, std::move(id), Blob(), deadline, nullptr, std::move(done)});
  if (absl::Status refused = Begin(*op); !refused.ok()) {
    return std::move(op->got)(std::move(refused));
  }
  SendGet(std::move(op));
}

void AzureBlobStore::SendGet(std::unique_ptr<Op> op) {
  ++op->attempts;
  Op& o = *op;
  o.container->Get(o.name, options_.check_md5, o.deadline,
                   [this, op = std::move(op)](absl::StatusOr<BlobContent> content) mutable {
                     absl::StatusOr<Blob> blob = content.ok()
                                                     ? azure::BlobOf(*std::move(content), op->name)
                                                     : content.status();
                     // Damage may be of the way and not of the place.
                     if (absl::IsDataLoss(blob.status()) && op->attempts < kMaxGetAttempts) {
                       return SendGet(std::move(op));
                     }
                     Finish(std::move(op), std::move(blob));
                   });
}

void AzureBlobStore::Delete(BlobId id, absl::AnyInvocable<void(absl::Status) &&> done) {
  auto op = std::make_unique<Op>(
      Op{Op::Kind::kDelete, std::move(id), Blob(), absl::InfiniteFuture(), std::move(done)});
  if (absl::Status refused = Begin(*op); !refused.ok()) {
    return std::move(op->done)(std::move(refused));
  }
  SendDelete(std::move(op));
}

void AzureBlobStore::SendDelete(std::unique_ptr<Op> op) {
  ++op->attempts;
  Op& o = *op;
  o.container->Properties(
      o.name, o.deadline, [this, op = std::move(op)](absl::StatusOr<BlobProperties> found) mutable {
        if (!found.ok()) return Finish(std::move(op), found.status());
        const uint64_t size = found->size;
        Op& o = *op;
        o.container->Delete(
            o.name, found->etag, o.deadline,
            [this, size, op = std::move(op)](absl::Status status) mutable {
              // Another blob has taken the name since.
              if (absl::IsFailedPrecondition(status) && op->attempts < kMaxDeleteAttempts) {
                return SendDelete(std::move(op));
              }
              if (!status.ok()) return Finish(std::move(op), std::move(status));
              {
                absl::MutexLock lock(&mutex_);
                --blobs_;
                used_bytes_ -= static_cast<int64_t>(size);
              }
              Finish(std::move(op), Blob());
            });
      });
}

absl::Status AzureBlobStore::List(const std::function<void(BlobInfo)>& visit) {
  if (http_->OnClientThread()) {
    return absl::FailedPreconditionError("Azure blob store: List called from one of its callbacks");
  }
  std::set<std::pair<std::string, std::string>> places;
  for (auto& place : resolver_->Known()) places.insert(std::move(place));
  {
    absl::MutexLock lock(&mutex_);
    if (closed_) return absl::UnavailableError("the Azure blob store is closed");
    places.insert(used_places_.begin(), used_places_.end());
    ++pending_;  // Close waits for it
  }
  absl::Status status;
  for (const auto& [account, container] : places) {
    status = ListPlace(account, container, visit);
    if (!status.ok()) break;
  }
  absl::MutexLock lock(&mutex_);
  --pending_;
  return azure::AsStoreError(std::move(status));
}

absl::Status AzureBlobStore::ListPlace(const std::string& account, const std::string& container,
                                       const std::function<void(BlobInfo)>& visit) {
  KV_ASSIGN_OR_RETURN(const Place place, PlaceOf(account, container));
  std::string marker;
  do {
    std::promise<absl::StatusOr<azure::Listing>> promise;
    place.container->List(place.prefix, marker, options_.list_page, absl::Now() + options_.max_time,
                          [&promise](absl::StatusOr<azure::Listing> listing) {
                            promise.set_value(std::move(listing));
                          });
    const absl::StatusOr<azure::Listing> listing = promise.get_future().get();
    if (absl::IsNotFound(listing.status())) return absl::OkStatus();  // nobody put anything yet
    KV_RETURN_IF_ERROR(listing.status());
    for (const azure::ListedBlob& blob : listing->blobs) {
      if (blob.name.rfind(place.prefix, 0) != 0) continue;  // not what was asked for
      const auto name =
          azure::DecodeBlobName(std::string_view(blob.name).substr(place.prefix.size()));
      uint32_t crc32c;
      BlobInfo info;
      if (!name.ok() || !azure::ReadMetadata(blob.metadata, crc32c, info.attributes)) continue;
      info.id = {account, container, *name};
      info.size = info.footprint = blob.size;
      visit(std::move(info));
    }
    if (!marker.empty() && listing->next_marker == marker) {
      return absl::InternalError("Azure Blob Storage: a listing that does not advance");
    }
    marker = listing->next_marker;
  } while (!marker.empty());
  return absl::OkStatus();
}

BlobStoreUsage AzureBlobStore::Usage() const {
  absl::MutexLock lock(&mutex_);
  return {static_cast<uint64_t>(std::max<int64_t>(blobs_, 0)),
          static_cast<uint64_t>(std::max<int64_t>(used_bytes_, 0)), options_.capacity_bytes};
}

uint64_t AzureBlobStore::FootprintOf(const BlobId& /*id*/, const Blob& blob) const {
  return blob.data.size();
}

absl::Status AzureBlobStore::Close() {
  if (http_->OnClientThread()) {
    return absl::FailedPreconditionError("Azure blob store: Close called from a callback");
  }
  absl::MutexLock lock(&mutex_);
  closed_ = true;
  mutex_.Await(absl::Condition(this, &AzureBlobStore::Idle));
  return absl::OkStatus();
}

}  // namespace kvstore
