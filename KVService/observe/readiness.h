// Whether a server takes calls, for who asks on other threads.
#ifndef KVSERVICE_OBSERVE_READINESS_H_
#define KVSERVICE_OBSERVE_READINESS_H_

#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"

namespace kvstore {

// Thread-safe.
class Readiness {
 public:
  explicit Readiness(absl::Status status) : status_(std::move(status)) {}

  // OK: it does. Else why not.
  void Set(absl::Status status) {
    absl::MutexLock lock(&mutex_);
    status_ = std::move(status);
  }
  absl::Status Get() const {
    absl::MutexLock lock(&mutex_);
    return status_;
  }

 private:
  mutable absl::Mutex mutex_;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace kvstore

#endif  // KVSERVICE_OBSERVE_READINESS_H_
