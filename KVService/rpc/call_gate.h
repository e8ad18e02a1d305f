// Knows how many calls run, and stops new ones while the server drains or ends.
#ifndef KVSERVICE_RPC_CALL_GATE_H_
#define KVSERVICE_RPC_CALL_GATE_H_

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace kvstore {

// Thread-safe.
class CallGate {
 public:
  enum class State { kOpen, kDraining, kClosed };

  // Counts a call in where that says kOpen; else it must not run.
  State Enter() {
    absl::MutexLock lock(&mutex_);
    running_ += state_ == State::kOpen;
    return state_;
  }

  // Lets no more in, for now. No effect once closed.
  void SetDraining(bool draining) {
    absl::MutexLock lock(&mutex_);
    if (state_ != State::kClosed) state_ = draining ? State::kDraining : State::kOpen;
  }

  int running() const {
    absl::MutexLock lock(&mutex_);
    return running_;
  }

  // Counts a call out that Enter let in.
  void Leave() {
    absl::MutexLock lock(&mutex_);
    --running_;
  }

  // Lets no more in and waits for those that run, until the deadline. Whether any ran.
  bool Close(absl::Time deadline) {
    absl::MutexLock lock(&mutex_);
    state_ = State::kClosed;
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
  mutable absl::Mutex mutex_;
  State state_ ABSL_GUARDED_BY(mutex_) = State::kOpen;
  int running_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace kvstore

#endif  // KVSERVICE_RPC_CALL_GATE_H_
