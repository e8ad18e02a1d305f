// The BlobStore on Azure Blob Storage, for what outgrows one machine.
//
// A blob is a block blob under its own name (blob_name.h), its body the data as it is, and in its
// metadata: kvcrc32c, of the data, in hexadecimal; kvattributes, in base64; kvwriteid, by which a
// put knows its own blob again. Any tool can read it.
#ifndef KVSERVICE_STORAGE_AZURE_AZURE_BLOB_STORE_H_
#define KVSERVICE_STORAGE_AZURE_AZURE_BLOB_STORE_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "KVService/http/http_client.h"
#include "KVService/storage/azure/blob_container.h"
#include "KVService/storage/azure/blob_lease.h"
#include "KVService/storage/azure/blob_log.h"
#include "KVService/storage/azure/pipeline.h"
#include "KVService/storage/shared_blob_store.h"
#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"

namespace kvstore {

// Where the blobs of an account and container of ours really are.
struct AzurePlace {
  std::string endpoint;  // the blob service's URL, without a '/' at its end
  std::shared_ptr<azure::Credential> credential;
  std::string container;  // Azure's: 3 to 63 lower-case letters, digits and hyphens
  std::string prefix;     // before every blob's name, such as "x/"; no two places overlap
};

// Thread-safe, and quick: it asks no network.
class AzureResolver {
 public:
  virtual ~AzureResolver() = default;

  // The same answer, and the same credential object, as long as nothing was changed. An error, such
  // as NOT_FOUND for an account that is not known, becomes that of the call, with its message.
  virtual absl::StatusOr<AzurePlace> Resolve(const std::string& account,
                                             const std::string& container) = 0;

  // The accounts and containers that List is to visit, beside those that were used.
  virtual std::vector<std::pair<std::string, std::string>> Known() = 0;
};

struct AzureOptions {
  azure::PipelineOptions pipeline;                // of each endpoint
  uint64_t capacity_bytes = 0;                    // of what this process puts; 0: unbounded
  size_t max_pending = 4096;                      // puts, gets and deletes that are not finished
  uint64_t max_pending_put_bytes = 512ull << 20;  // of data; a single put may be larger
  absl::Duration max_time = absl::Minutes(1);     // of a call, even where it has no deadline
  int list_page = 5000;                           // blobs a page; the service's own bound
  // The service checks the MD5 of what is put in any case. Of what is got it is 2 ms of CPU for
  // 1.2 MB beside the CRC-32C, that is always checked.
  bool check_md5 = true;
  // Whether puts and deletes are told to other servers, and theirs to us, by a log in each
  // container (blob_log.h). Without it nothing can be followed.
  bool shared_log = false;
  azure::BlobLogOptions log;
};

// Thread-safe. `done` runs on a thread of the HTTP client. What the contract of BlobStore leaves
// open:
//   Usage      counts what this process put less what it deleted; other servers' blobs are theirs
//   footprint  the data's size
//   Delete     costs two requests, since only what is deleted tells its size
//   log        a put ends once it is in the log, or the log is away: then it is appended later
//   errors     INTERNAL for what the service refuses for good (credentials, names), UNAVAILABLE for
//              what it, the network or the attempts allowed did not yield
class AzureBlobStore : public SharedBlobStore {
 public:
  // `http` and `resolver` outlive the store.
  AzureBlobStore(HttpClient* http, AzureResolver* resolver, const AzureOptions& options);
  // As Close. REQUIRES: not from a `done` of this store.
  ~AzureBlobStore() override;

  void Put(BlobId id, Blob blob, Patience patience,
           absl::AnyInvocable<void(absl::Status) &&> done) override;
  void Get(BlobId id, Patience patience,
           absl::AnyInvocable<void(absl::StatusOr<Blob>) &&> done) override;
  void Delete(BlobId id, absl::AnyInvocable<void(absl::Status) &&> done) override;

  // Blocks on the network, page by page. Leaves out blobs that are not of our making.
  // FAILED_PRECONDITION from a `done`, whose thread it would wait for.
  absl::Status ListUntil(const std::shared_ptr<Cancellation>& end,
                         const std::function<void(BlobInfo)>& visit) override;

  BlobStoreUsage Usage() const override;
  uint64_t FootprintOf(const BlobId& id, const Blob& blob) const override;
  absl::Status Close() override;  // FAILED_PRECONDITION from a `done`

  // One listener for all containers. At most kMaxFollowed of them: RESOURCE_EXHAUSTED.
  void Follow(const std::string& account, const std::string& container, BlobListener* listener,
              absl::Time deadline, FollowDone done) override;
  bool UpToDate(const std::string& account, const std::string& container) const override;
  void Stat(BlobId id, Patience patience, Done<BlobInfo> done) override;
  void ListPrefix(BlobId prefix, size_t limit, Patience patience,
                  Done<std::vector<BlobInfo>> done) override;
  void TellGone(const BlobId& id) override;
  absl::Status Lease(const std::string& account, const std::string& container,
                     int seconds) override;
  absl::Status ListUnshared(const std::function<void(BlobInfo)>& visit) override;

  static constexpr size_t kMaxFollowed = 256;

  // Of all containers together; the age is the greatest.
  azure::BlobLogStats log_stats() const;
  // Of all endpoints together.
  azure::PipelineStats http_stats() const;

 private:
  struct Op;
  struct Place {
    std::shared_ptr<azure::BlobContainer> container;
    std::string prefix;
  };
  struct Log {
    std::shared_ptr<azure::BlobLog> log;
    BlobListener* listener = nullptr;
  };
  using ContainerName = std::pair<std::string, std::string>;  // account, container

  absl::Status Begin(Op& op) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<Place> PlaceOf(const std::string& account, const std::string& container)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Finish(std::unique_ptr<Op> op, absl::StatusOr<Blob> result) ABSL_LOCKS_EXCLUDED(mutex_);

  // The container's log, begun where it is not yet. A log that nobody listens to is replaced by one
  // for `listener`.
  absl::StatusOr<std::shared_ptr<azure::BlobLog>> LogOf(const ContainerName& name,
                                                        BlobListener* listener)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Tells the other servers what the op did, then finishes it.
  void Share(std::unique_ptr<Op> op, absl::Status status);

  bool Reserve(uint64_t bytes) ABSL_LOCKS_EXCLUDED(mutex_);
  void SendPut(std::unique_ptr<Op> op);
  void RefusePut(std::unique_ptr<Op> op);
  void SendGet(std::unique_ptr<Op> op);
  void SendDelete(std::unique_ptr<Op> op);
  static std::optional<BlobInfo> InfoOf(const ContainerName& name, const std::string& prefix,
                                        const azure::ListedBlob& blob);
  absl::Status ListPlace(const std::string& account, const std::string& container,
                         const std::shared_ptr<Cancellation>& end,
                         const std::function<void(BlobInfo)>& visit);
  bool Idle() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return pending_ == 0; }

  HttpClient* const http_;
  AzureResolver* const resolver_;
  const AzureOptions options_;

  mutable absl::Mutex mutex_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  size_t pending_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t pending_put_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t reserved_bytes_ ABSL_GUARDED_BY(mutex_) = 0;  // of puts that are not finished
  int64_t blobs_ ABSL_GUARDED_BY(mutex_) = 0;            // may be negative: others' were deleted
  int64_t used_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  // By endpoint and credential.
  std::map<std::pair<std::string, std::shared_ptr<azure::Credential>>,
           std::shared_ptr<azure::Pipeline>>
      pipelines_ ABSL_GUARDED_BY(mutex_);
  // The accounts and containers that something was put into.
  std::set<ContainerName> used_places_ ABSL_GUARDED_BY(mutex_);
  std::map<ContainerName, Log> logs_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<azure::BlobLog>> retired_logs_ ABSL_GUARDED_BY(mutex_);
  absl::Mutex lease_mutex_;  // held while the network is waited for
  std::map<ContainerName, std::unique_ptr<azure::BlobLease>> leases_ ABSL_GUARDED_BY(lease_mutex_);
};

}  // namespace kvstore

#endif  // KVSERVICE_STORAGE_AZURE_AZURE_BLOB_STORE_H_
