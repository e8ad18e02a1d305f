// A lease of a blob, which one server has at a time.
#ifndef KVSERVICE_STORAGE_AZURE_BLOB_LEASE_H_
#define KVSERVICE_STORAGE_AZURE_BLOB_LEASE_H_

#include <memory>
#include <string>

#include "KVService/storage/azure/blob_container.h"
#include "absl/status/status.h"
#include "absl/time/time.h"

namespace kvstore::azure {

// Not thread-safe. All calls block, each request for `timeout` at most.
class BlobLease {
 public:
  // What the service grants.
  static constexpr int kMinSeconds = 15;
  static constexpr int kMaxSeconds = 60;

  BlobLease(std::shared_ptr<BlobContainer> container, std::string blob, absl::Duration timeout);
  ~BlobLease();  // gives it back; where that fails it runs out
  BlobLease(const BlobLease&) = delete;
  BlobLease& operator=(const BlobLease&) = delete;

  // For so long from now on; a lease that is held is renewed. The first of all makes the blob.
  // ABORTED where another has it.
  absl::Status Acquire(int seconds);

 private:
  absl::Status TryAcquire(int seconds);

  const std::shared_ptr<BlobContainer> container_;
  const std::string blob_;
  const absl::Duration timeout_;
  const std::string id_;
  bool held_ = false;
};

}  // namespace kvstore::azure

#endif  // KVSERVICE_STORAGE_AZURE_BLOB_LEASE_H_
