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
  Patience patience;
  // One of these, as the kind says.
  absl::AnyInvocable<void(absl::Status) &&> done;
  absl::AnyInvocable<void(absl::StatusOr<Blob>) &&> got;

  // Known once it began.
  std::shared_ptr<azure::BlobContainer> container;
  std::string name;     // Azure's
  int attempts = 0;     // of the whole, above the pipeline's own
  absl::Status damage;  // that the last attempt found
};

namespace {

// Each needs damage on the way, or another's delete and put, just between two requests of ours.
constexpr int kMaxGetAttempts = 6;
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
  if (op.patience.deadline <= now) return absl::DeadlineExceededError("the deadline had passed");
  op.patience.deadline = std::min(op.patience.deadline, now + options_.max_time);
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

void AzureBlobStore::Put(BlobId id, Blob blob, Patience patience,
                         absl::AnyInvocable<void(absl::Status) &&> done) {
  auto op = std::make_unique<Op>(
      Op{Op::Kind::kPut, std::move(id), std::move(blob), std::move(patience), std::move(done)});
  if (absl::Status refused = Begin(*op); !refused.ok()) {
    return std::move(op->done)(std::move(refused));
  }
  Reserve(op->blob.data.size()) ? SendPut(std::move(op)) : RefusePut(std::move(op));
}

void AzureBlobStore::SendPut(std::unique_ptr<Op> op) {
  Op& o = *op;
  o.container->PutIfAbsent(o.name, o.blob.data, azure::MetadataOf(o.blob), o.patience,
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
                             Share(std::move(op), std::move(status));
                           });
}

void AzureBlobStore::Share(std::unique_ptr<Op> op, absl::Status status) {
  const bool put = op->kind == Op::Kind::kPut;
  // What was there already, or no longer, is told too: who asks did not know, and others may not.
  const bool news =
      put ? status.ok() || absl::IsAlreadyExists(status) : status.ok() || absl::IsNotFound(status);
  const auto finish = [this](std::unique_ptr<Op> op, absl::Status status) {
    if (status.ok()) return Finish(std::move(op), Blob());
    Finish(std::move(op), std::move(status));
  };
  const bool told = options_.shared_log && !op->id.name.starts_with(kReservedNames);
  if (!told || !news) return finish(std::move(op), std::move(status));
  auto log = LogOf({op->id.account, op->id.container}, nullptr);
  if (!log.ok()) return finish(std::move(op), std::move(status));
  azure::LogRecord record;
  record.kind = put ? azure::LogRecord::Kind::kPut : azure::LogRecord::Kind::kDelete;
  record.name = op->id.name;
  record.attributes = op->blob.attributes;
  record.size = op->blob.data.size();
  // Whether it was appended, the log's own statistics say.
  (*log)->Append(std::move(record),
                 [finish, op = std::move(op), status = std::move(status)](absl::Status) mutable {
                   finish(std::move(op), std::move(status));
                 });
}

// No room; but whether the name is taken is the better news.
void AzureBlobStore::RefusePut(std::unique_ptr<Op> op) {
  Op& o = *op;
  o.container->Properties(
      o.name, o.patience,
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

void AzureBlobStore::Get(BlobId id, Patience patience,
                         absl::AnyInvocable<void(absl::StatusOr<Blob>) &&> done) {
  auto op = std::make_unique<Op>(
      Op{Op::Kind::kGet, std::move(id), Blob(), std::move(patience), nullptr, std::move(done)});
  if (absl::Status refused = Begin(*op); !refused.ok()) {
    return std::move(op->got)(std::move(refused));
  }
  SendGet(std::move(op));
}

void AzureBlobStore::SendGet(std::unique_ptr<Op> op) {
  ++op->attempts;
  Op& o = *op;
  o.container->Get(
      o.name, options_.check_md5, o.patience,
      [this, op = std::move(op)](absl::StatusOr<BlobContent> content) mutable {
        absl::StatusOr<Blob> blob =
            content.ok() ? azure::BlobOf(*std::move(content), op->name) : content.status();
        // Damage of the place is the same each time, as the message with its CRC
        // says; damage of the way is not, and must not cost the blob.
        if (!absl::IsDataLoss(blob.status()) || blob.status() == op->damage) {
          return Finish(std::move(op), std::move(blob));
        }
        op->damage = blob.status();
        if (op->attempts < kMaxGetAttempts) return SendGet(std::move(op));
        Finish(std::move(op),
               absl::UnavailableError(fmt::format("damaged on its way each time: {}",
                                                  std::string(blob.status().message()))));
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
      o.name, o.patience, [this, op = std::move(op)](absl::StatusOr<BlobProperties> found) mutable {
        if (!found.ok()) return Share(std::move(op), found.status());
        const uint64_t size = found->size;
        Op& o = *op;
        o.container->Delete(
            o.name, found->etag, o.patience.deadline,
            [this, size, op = std::move(op)](absl::Status status) mutable {
              // Another blob has taken the name since.
              if (absl::IsFailedPrecondition(status) && op->attempts < kMaxDeleteAttempts) {
                return SendDelete(std::move(op));
              }
              if (status.ok()) {
                absl::MutexLock lock(&mutex_);
                --blobs_;
                used_bytes_ -= static_cast<int64_t>(size);
              }
              Share(std::move(op), std::move(status));
            });
      });
}

absl::Status AzureBlobStore::ListUntil(const std::shared_ptr<Cancellation>& end,
                                       const std::function<void(BlobInfo)>& visit) {
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
    status = ListPlace(account, container, end, visit);
    if (!status.ok()) break;
  }
  absl::MutexLock lock(&mutex_);
  --pending_;
  // As a store error it would look like the storage's.
  if (end != nullptr && end->cancelled()) return absl::CancelledError("the listing");
  return azure::AsStoreError(std::move(status));
}

// nullopt for what is not of our making.
std::optional<BlobInfo> AzureBlobStore::InfoOf(const ContainerName& container,
                                               const std::string& prefix,
                                               const azure::ListedBlob& blob) {
  if (!blob.name.starts_with(prefix)) return std::nullopt;
  const auto name = azure::DecodeBlobName(std::string_view(blob.name).substr(prefix.size()));
  uint32_t crc32c;
  BlobInfo info;
  if (!name.ok() || !azure::ReadMetadata(blob.metadata, crc32c, info.attributes)) {
    return std::nullopt;
  }
  info.id = {container.first, container.second, *name};
  info.size = info.footprint = blob.size;
  return info;
}

absl::Status AzureBlobStore::ListPlace(const std::string& account, const std::string& container,
                                       const std::shared_ptr<Cancellation>& end,
                                       const std::function<void(BlobInfo)>& visit) {
  KV_ASSIGN_OR_RETURN(const Place place, PlaceOf(account, container));
  std::string marker;
  do {
    std::promise<absl::StatusOr<azure::Listing>> promise;
    const Patience patience(absl::Now() + options_.max_time, end);
    if (patience.ended()) return absl::CancelledError("the listing");
    place.container->List(place.prefix, marker, options_.list_page, patience,
                          [&promise](absl::StatusOr<azure::Listing> listing) {
                            promise.set_value(std::move(listing));
                          });
    const absl::StatusOr<azure::Listing> listing = promise.get_future().get();
    if (absl::IsNotFound(listing.status())) return absl::OkStatus();  // nobody put anything yet
    KV_RETURN_IF_ERROR(listing.status());
    for (const azure::ListedBlob& blob : listing->blobs) {
      if (patience.ended()) return absl::CancelledError("the listing");
      if (auto info = InfoOf({account, container}, place.prefix, blob)) visit(*std::move(info));
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

absl::StatusOr<std::shared_ptr<azure::BlobLog>> AzureBlobStore::LogOf(const ContainerName& name,
                                                                      BlobListener* listener) {
  {
    absl::MutexLock lock(&mutex_);
    const auto it = logs_.find(name);
    if (it != logs_.end() && (listener == nullptr || it->second.listener != nullptr)) {
      return it->second.log;
    }
  }
  KV_ASSIGN_OR_RETURN(Place place, PlaceOf(name.first, name.second));
  absl::MutexLock lock(&mutex_);
  if (closed_) return absl::UnavailableError("the Azure blob store is closed");
  if (logs_.size() >= kMaxFollowed && !logs_.contains(name)) {
    return absl::ResourceExhaustedError(
        fmt::format("{} containers are in use already, the most of one server", kMaxFollowed));
  }
  Log& log = logs_[name];
  if (log.log != nullptr && (listener == nullptr || log.listener != nullptr)) return log.log;
  // It has told its records to nobody; it ends with the store, since that takes a while.
  if (log.log != nullptr) retired_logs_.push_back(std::move(log.log));
  log.listener = listener;
  const auto info_of = [name](azure::LogRecord record) {
    BlobInfo info;
    info.id = {name.first, name.second, std::move(record.name)};
    info.size = info.footprint = record.size;
    info.attributes = std::move(record.attributes);
    return info;
  };
  azure::BlobLog::Listener tell;
  if (listener != nullptr) {
    tell = [listener, info_of](std::vector<azure::LogRecord> records) {
      std::vector<BlobChange> changes;
      changes.reserve(records.size());
      for (azure::LogRecord& record : records) {
        const bool deleted = record.kind == azure::LogRecord::Kind::kDelete;
        if (!deleted && record.kind != azure::LogRecord::Kind::kPut) continue;
        changes.push_back({info_of(std::move(record)), deleted});
      }
      listener->OnChanges(changes);
    };
  }
  auto lister = [this, name](const std::function<void(azure::LogRecord)>& visit) {
    return ListPlace(name.first, name.second, nullptr, [&visit](const BlobInfo& info) {
      visit({azure::LogRecord::Kind::kPut, info.id.name, info.attributes, info.size});
    });
  };
  log.log = std::make_shared<azure::BlobLog>(std::move(place.container), place.prefix, options_.log,
                                             std::move(tell), std::move(lister));
  return log.log;
}

void AzureBlobStore::Follow(const std::string& account, const std::string& container,
                            BlobListener* listener, absl::Time /*deadline*/, FollowDone done) {
  if (!options_.shared_log) {
    return std::move(done)(absl::FailedPreconditionError("the store has no shared log"));
  }
  auto log = LogOf({account, container}, listener);
  if (!log.ok()) return std::move(done)(log.status());
  // It answers within its own request timeout.
  (*log)->WhenRead(std::move(done));
}

bool AzureBlobStore::UpToDate(const std::string& account, const std::string& container) const {
  std::shared_ptr<azure::BlobLog> log;
  {
    absl::MutexLock lock(&mutex_);
    const auto it = logs_.find({account, container});
    if (it == logs_.end() || it->second.listener == nullptr) return false;
    log = it->second.log;
  }
  return log->UpToDate();
}

void AzureBlobStore::Stat(BlobId id, Patience patience, Done<BlobInfo> done) {
  const auto place = PlaceOf(id.account, id.container);
  if (!place.ok()) return std::move(done)(place.status());
  const std::string name = place->prefix + azure::EncodeBlobName(id.name);
  patience.deadline = std::min(patience.deadline, absl::Now() + options_.max_time);
  place->container->Properties(
      name, patience,
      [id = std::move(id), prefix = place->prefix, name,
       done = std::move(done)](absl::StatusOr<BlobProperties> found) mutable {
        if (!found.ok()) return std::move(done)(azure::AsStoreError(found.status()));
        auto info = InfoOf({id.account, id.container}, prefix,
                           {name, found->size, std::move(found->metadata)});
        if (info) return std::move(done)(*std::move(info));
        std::move(done)(absl::Status(absl::StatusCode::kNotFound, ""));
      });
}

void AzureBlobStore::ListPrefix(BlobId prefix, size_t limit, Patience patience,
                                Done<std::vector<BlobInfo>> done) {
  const auto place = PlaceOf(prefix.account, prefix.container);
  if (!place.ok()) return std::move(done)(place.status());
  patience.deadline = std::min(patience.deadline, absl::Now() + options_.max_time);
  place->container->List(
      place->prefix + prefix.name, "", static_cast<int>(std::min<size_t>(limit, 5000)), patience,
      [prefix, before = place->prefix,
       done = std::move(done)](const absl::StatusOr<azure::Listing>& listing) mutable {
        std::vector<BlobInfo> blobs;
        if (absl::IsNotFound(listing.status())) return std::move(done)(std::move(blobs));
        if (!listing.ok()) return std::move(done)(azure::AsStoreError(listing.status()));
        for (const azure::ListedBlob& blob : listing->blobs) {
          if (auto info = InfoOf({prefix.account, prefix.container}, before, blob)) {
            blobs.push_back(*std::move(info));
          }
        }
        std::move(done)(std::move(blobs));
      });
}

void AzureBlobStore::TellGone(const BlobId& id) {
  if (!options_.shared_log) return;
  const auto log = LogOf({id.account, id.container}, nullptr);
  if (log.ok()) (*log)->Append({azure::LogRecord::Kind::kDelete, id.name, "", 0}, [](auto) {});
}

absl::Status AzureBlobStore::ListUnshared(const std::function<void(BlobInfo)>& /*visit*/) {
  return absl::OkStatus();
}

azure::BlobLogStats AzureBlobStore::log_stats() const {
  azure::BlobLogStats all;
  all.age = absl::ZeroDuration();
  absl::MutexLock lock(&mutex_);
  for (const auto& [name, log] : logs_) {
    const azure::BlobLogStats one = log.log->stats();
    all.generation = std::max(all.generation, one.generation);
    all.records_read += one.records_read;
    all.records_appended += one.records_appended;
    all.records_dropped += one.records_dropped;
    all.damaged_bytes += one.damaged_bytes;
    all.compactions += one.compactions;
    all.queued_records += one.queued_records;
    all.age = std::max(all.age, one.age);
  }
  return all;
}

azure::PipelineStats AzureBlobStore::http_stats() const {
  azure::PipelineStats all;
  absl::MutexLock lock(&mutex_);
  for (const auto& [key, pipeline] : pipelines_) {
    const azure::PipelineStats one = pipeline->Stats();
    all.attempts += one.attempts;
    all.retries += one.retries;
    all.throttled += one.throttled;
    all.limit += one.limit;
    all.under_way += one.under_way;
    all.waiting += one.waiting;
  }
  return all;
}

absl::Status AzureBlobStore::Lease(const std::string& account, const std::string& container,
                                   int seconds) {
  if (http_->OnClientThread()) {
    return absl::FailedPreconditionError("Azure blob store: Lease called from a callback");
  }
  KV_ASSIGN_OR_RETURN(Place place, PlaceOf(account, container));
  absl::MutexLock lock(&lease_mutex_);
  {
    absl::MutexLock closed_lock(&mutex_);
    if (closed_) return absl::UnavailableError("the Azure blob store is closed");
  }
  std::unique_ptr<azure::BlobLease>& lease = leases_[{account, container}];
  if (lease == nullptr) {
    lease = std::make_unique<azure::BlobLease>(std::move(place.container),
                                               place.prefix + std::string(azure::kRetentionLease),
                                               options_.log.request_timeout);
  }
  return lease->Acquire(seconds);
}

absl::Status AzureBlobStore::Close() {
  if (http_->OnClientThread()) {
    return absl::FailedPreconditionError("Azure blob store: Close called from a callback");
  }
  std::map<ContainerName, Log> logs;
  std::vector<std::shared_ptr<azure::BlobLog>> retired;
  {
    absl::MutexLock lock(&mutex_);
    closed_ = true;
    mutex_.Await(absl::Condition(this, &AzureBlobStore::Idle));
    logs.swap(logs_);
    retired.swap(retired_logs_);
  }
  absl::MutexLock lock(&lease_mutex_);
  leases_.clear();
  return absl::OkStatus();  // the logs end here, without the lock
}

}  // namespace kvstore
