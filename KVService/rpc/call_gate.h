// Knows how many calls run, and stops new ones when the server is to end.
#ifndef KVSERVICE_RPC_CALL_GATE_H_
#define KVSERVICE_RPC_CALL_GATE_H_

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace kvstore {

// Thread-safe.
class CallGate {
 public:
  // Counts a call in; false once closed, and then it must not run.
  bool Enter() {
    absl::MutexLock lock(&mutex_);
    if (closed_) return false;
    ++running_;
    return true;
  }

  // Counts a call out that Enter let in.
  void Leave() {
    absl::MutexLock lock(&mutex_);
    --running_;
  }

  // Lets no more in and waits for those that run, until the deadline. Whether any ran.
  bool Close(absl::Time deadline) {
    absl::MutexLock lock(&mutex_);
    closed_ = true;
    const bool any = running_ > 0;
    const auto empty = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return running_ == 0; };
    mutex_.AwaitWithDeadline(absl::Condition(&empty), deadline);
    return any;
  }

  // Waits for all that run.
  void AwaitEmpty() {
    absl::MutexLock lock(&mutex_);
    const auto empty = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return running_ == 0; };
    mutex_.Await(absl::Condition(&empty));
  }

 private:
  absl::Mutex mutex_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  int running_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace kvstore

#endif  // KVSERVICE_RPC_CALL_GATE_H_
