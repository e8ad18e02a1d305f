// What the options say blocks are kept in, opened: the store and all that it stands on.
#ifndef KVSERVICE_STORAGE_SETUP_H_
#define KVSERVICE_STORAGE_SETUP_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "KVService/accounts/account_resolver.h"
#include "KVService/http/http_client.h"
#include "KVService/observe/metrics.h"
#include "KVService/options.h"
#include "KVService/platform/thread_pool.h"
#include "KVService/retention/retention.h"
#include "KVService/storage/azure/account_places.h"
#include "KVService/storage/azure/credential_factory.h"
#include "KVService/storage/local/local_blob_store.h"
#include "KVService/storage/tiered/tiered_blob_store.h"
#include "KVService/store/chunk_store.h"
#include "KVService/thread_plan.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace kvstore {

// Not thread-safe but for the store.
class StorageSetup {
 public:
  // Blocks on disk; asks no network.
  static absl::StatusOr<std::unique_ptr<StorageSetup>> Open(const ServerOptions& options,
                                                            const ThreadPlan& threads);

  ChunkStore& store() const { return *store_; }

  // Whether there are files to read again.
  bool has_files() const { return accounts_ != nullptr || retention_ != nullptr; }
  // Does so, where they can, and logs how that went.
  void Reload();

  // One line on what it did so far.
  void LogStats() const;

  // The same and more, until Close. Thread-safe.
  MetricFamilies Metrics() const;

  // How old what is known of other servers may be; zero where none share the storage. Thread-safe.
  absl::Duration LogAge() const;

  bool has_disk() const { return local_ != nullptr; }
  // The capacity of this server's disk, 0 where it has none or no bound; and another from now on.
  // Thread-safe. Setting it REQUIRES: has_disk().
  uint64_t disk_capacity() const;
  void SetDiskCapacity(uint64_t bytes);

  // How much was written and is not yet where other servers see it. Thread-safe.
  uint64_t unshared_blobs() const;

  // Checks all that is on the disk, once; what is damaged is removed. As LocalBlobStore::CheckAll;
  // FAILED_PRECONDITION where there is no disk. Thread-safe.
  absl::Status CheckDisk(uint64_t bytes_per_second,
                         const std::function<bool(const ScrubStats&, uint64_t blobs)>& go_on);

  // As ChunkStore::Close.
  absl::Status Close();

 private:
  StorageSetup() = default;
  absl::Status StartRetention(const ServerOptions& options);
  absl::Status OpenLocal(const ServerOptions& options, const ThreadPlan& threads);
  absl::StatusOr<std::unique_ptr<LocalBlobStore>> OpenDirectory(const ServerOptions& options,
                                                                const ThreadPlan& threads,
                                                                const std::string& directory,
                                                                std::optional<uint64_t> capacity);
  ScrubOptions Scrub(uint64_t bytes_per_second);
  absl::Status OpenAzure(const ServerOptions& options, const ThreadPlan& threads);

  // Each stands on those before it.
  std::unique_ptr<ThreadPool> files_;
  std::unique_ptr<HttpClient> http_;
  std::unique_ptr<azure::CredentialFactory> credentials_;
  std::unique_ptr<AccountResolver> accounts_;
  std::unique_ptr<AccountPlaces> places_;
  LocalBlobStore* local_ = nullptr;  // in store_, as those below; nullptr where there is none
  AzureBlobStore* azure_ = nullptr;
  TieredBlobStore* tier_ = nullptr;
  std::unique_ptr<ChunkStore> store_;
  std::unique_ptr<Retention> retention_;  // may be null
};

}  // namespace kvstore

#endif  // KVSERVICE_STORAGE_SETUP_H_
