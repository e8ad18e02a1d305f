// An AzureBlobStore on Azurite, in a container of its own.
#ifndef KVSERVICE_STORAGE_AZURE_AZURE_STORE_TESTING_H_
#define KVSERVICE_STORAGE_AZURE_AZURE_STORE_TESTING_H_

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "KVService/http/curl_http_client.h"
#include "KVService/storage/azure/azure_blob_store.h"
#include "KVService/storage/azure/azurite.h"
#include "KVService/storage/azure/crypto.h"

namespace kvstore::testing {

// Puts every account and container under a prefix of its own in one container of Azure's, since
// the contract's names ("a/b", "") are not names that Azure would take for a container.
class OneContainerResolver : public AzureResolver {
 public:
  OneContainerResolver(std::string endpoint, std::shared_ptr<azure::Credential> credential,
                       std::string container)
      : place_{std::move(endpoint), std::move(credential), std::move(container), ""} {}

  absl::StatusOr<AzurePlace> Resolve(const std::string& account,
                                     const std::string& container) override {
    absl::MutexLock lock(&mutex_);
    AzurePlace place = place_;
    const auto [it, added] = numbers_.try_emplace({account, container}, numbers_.size());
    place.prefix = std::to_string(it->second) + "/";
    return place;
  }
  std::vector<std::pair<std::string, std::string>> Known() override { return {}; }

 private:
  const AzurePlace place_;
  absl::Mutex mutex_;
  std::map<std::pair<std::string, std::string>, size_t> numbers_ ABSL_GUARDED_BY(mutex_);
};

// With what it stands on.
class OwningStore : public BlobStore {
 public:
  OwningStore(const Azurite& azurite, std::shared_ptr<azure::Credential> credential,
              AzureOptions options, std::string container = "c" + azure::RandomHex(8))
      : http_(HttpOptions(azurite)),
        resolver_(azurite.endpoint(), std::move(credential), std::move(container)),
        store_(&http_, &resolver_, std::move(options)) {}

  void Put(BlobId id, Blob blob, Patience patience,
           absl::AnyInvocable<void(absl::Status) &&> done) override {
    store_.Put(std::move(id), std::move(blob), std::move(patience), std::move(done));
  }
  void Get(BlobId id, Patience patience,
           absl::AnyInvocable<void(absl::StatusOr<Blob>) &&> done) override {
    store_.Get(std::move(id), std::move(patience), std::move(done));
  }
  void Delete(BlobId id, absl::AnyInvocable<void(absl::Status) &&> done) override {
    store_.Delete(std::move(id), std::move(done));
  }
  absl::Status ListUntil(const std::shared_ptr<Cancellation>& end,
                         const std::function<void(BlobInfo)>& visit) override {
    return store_.ListUntil(end, visit);
  }
  void ListPrefix(BlobId prefix, size_t limit, Patience patience,
                  Done<std::vector<BlobInfo>> done) override {
    store_.ListPrefix(std::move(prefix), limit, std::move(patience), std::move(done));
  }
  BlobStoreUsage Usage() const override { return store_.Usage(); }
  uint64_t FootprintOf(const BlobId& id, const Blob& blob) const override {
    return store_.FootprintOf(id, blob);
  }
  absl::Status Close() override { return store_.Close(); }

 private:
  static HttpClientOptions HttpOptions(const Azurite& azurite) {
    HttpClientOptions options;
    options.ca_file = azurite.ca_file();
    return options;
  }

  CurlHttpClient http_;
  OneContainerResolver resolver_;
  AzureBlobStore store_;
};

}  // namespace kvstore::testing

#endif  // KVSERVICE_STORAGE_AZURE_AZURE_STORE_TESTING_H_
