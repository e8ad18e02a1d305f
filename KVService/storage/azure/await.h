// For threads that may block: BlobContainer's calls, waited for.
#ifndef KVSERVICE_STORAGE_AZURE_AWAIT_H_
#define KVSERVICE_STORAGE_AZURE_AWAIT_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/notification.h"

namespace kvstore::azure {

// Makes a call of BlobContainer's that yields a T (or just a status) wait for its answer.
template <typename T, typename Start>
absl::StatusOr<T> Await(Start start) {
  absl::StatusOr<T> result;
  absl::Notification done;
  start([&](absl::StatusOr<T> outcome) {
    result = std::move(outcome);
    done.Notify();
  });
  done.WaitForNotification();
  return result;
}
template <typename Start>
absl::Status AwaitStatus(Start start) {
  absl::Status result;
  absl::Notification done;
  start([&](absl::Status outcome) {
    result = std::move(outcome);
    done.Notify();
  });
  done.WaitForNotification();
  return result;
}

}  // namespace kvstore::azure

#endif  // KVSERVICE_STORAGE_AZURE_AWAIT_H_
