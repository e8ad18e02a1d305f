#include "KVService/storage/azure/blob_lease.h"

#include <utility>

#include "KVCommon/status_macros.h"
#include "KVService/storage/azure/await.h"
#include "KVService/storage/azure/crypto.h"
#include "absl/time/clock.h"

namespace kvstore::azure {
namespace {

std::string NewGuid() {
  std::string id = RandomHex(16);
  for (const size_t dash : {8, 13, 18, 23}) id.insert(dash, 1, '-');
  return id;
}

}  // namespace

BlobLease::BlobLease(std::shared_ptr<BlobContainer> container, std::string blob,
                     absl::Duration timeout)
    : container_(std::move(container)), blob_(std::move(blob)), timeout_(timeout), id_(NewGuid()) {}

BlobLease::~BlobLease() {
  if (!held_) return;
  AwaitStatus([&](auto done) {
    container_->ReleaseLease(blob_, id_, absl::Now() + timeout_, std::move(done));
  }).IgnoreError();
}

absl::Status BlobLease::Acquire(int seconds) {
  absl::Status status = TryAcquire(seconds);
  if (absl::IsNotFound(status)) {
    KV_RETURN_IF_ERROR(AwaitStatus([&](auto done) {
      container_->CreateAppendBlob(blob_, absl::Now() + timeout_, std::move(done));
    }));
    status = TryAcquire(seconds);
  }
  held_ = status.ok();
  return status;
}

absl::Status BlobLease::TryAcquire(int seconds) {
  return AwaitStatus([&](auto done) {
    container_->AcquireLease(blob_, id_, seconds, absl::Now() + timeout_, std::move(done));
  });
}

}  // namespace kvstore::azure
