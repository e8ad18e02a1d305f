// How many requests may be under way to one endpoint: as many as it takes without throttling.
#ifndef KVSERVICE_STORAGE_AZURE_CONCURRENCY_LIMIT_H_
#define KVSERVICE_STORAGE_AZURE_CONCURRENCY_LIMIT_H_

#include <cstddef>
#include <cstdint>
#include <deque>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace kvstore::azure {

// Additive increase, multiplicative decrease, as TCP does it: each success adds 1/limit, and a
// throttled request halves the limit, once for all that were under way when it was halved. So a
// throttling service slows the sender down rather than fail its callers. Thread-safe.
class ConcurrencyLimit {
 public:
  enum class Outcome { kSuccess, kThrottled, kOther };
  // A place among those under way, given back by Release.
  struct Permit {
    uint64_t epoch = 0;
  };
  using Ready = absl::AnyInvocable<void(absl::StatusOr<Permit>) &&>;

  // `max` places at most, and at first; `max_waiting` callers wait. REQUIRES: max > 0.
  ConcurrencyLimit(size_t max, size_t max_waiting);

  // Runs `ready` with a permit when there is a place, before this returns if there is one now.
  // RESOURCE_EXHAUSTED where too many wait, DEADLINE_EXCEEDED at the first Sweep after `deadline`.
  void Acquire(absl::Time deadline, Ready ready) ABSL_LOCKS_EXCLUDED(mutex_);

  // Gives the place to those who wait; their `ready` runs on this thread or that of another
  // Release.
  void Release(Permit permit, Outcome outcome) ABSL_LOCKS_EXCLUDED(mutex_);

  // Ends those who waited in vain. True if any are left, and Sweep is to be called again.
  bool Sweep(absl::Time now) ABSL_LOCKS_EXCLUDED(mutex_);

  double limit() const ABSL_LOCKS_EXCLUDED(mutex_);
  size_t under_way() const ABSL_LOCKS_EXCLUDED(mutex_);
  size_t waiting() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Waiter {
    absl::Time deadline;
    Ready ready;
  };

  bool HasPlace() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const size_t max_;
  const size_t max_waiting_;

  mutable absl::Mutex mutex_;
  double limit_ ABSL_GUARDED_BY(mutex_);
  size_t under_way_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t epoch_ ABSL_GUARDED_BY(mutex_) = 0;  // of the limit's decreases
  bool handing_on_ ABSL_GUARDED_BY(mutex_) = false;
  std::deque<Waiter> waiters_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace kvstore::azure

#endif  // KVSERVICE_STORAGE_AZURE_CONCURRENCY_LIMIT_H_
