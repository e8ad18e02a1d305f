// How long somebody waits for an answer, and who.
#ifndef KVCOMMON_PATIENCE_H_
#define KVCOMMON_PATIENCE_H_

#include <memory>
#include <utility>

#include "KVCommon/origin.h"
#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace kvstore {

// Tells who works for somebody that the answer is no longer wanted. Thread-safe.
class Cancellation {
 public:
  // The first call runs what OnCancel gave, on its thread, outside locks.
  void Cancel() {
    absl::AnyInvocable<void() &&> then;
    {
      absl::MutexLock lock(&mutex_);
      cancelled_ = true;
      then = std::exchange(then_, nullptr);
    }
    if (then) std::move(then)();
  }

  bool cancelled() const {
    absl::MutexLock lock(&mutex_);
    return cancelled_;
  }

  // What the step that runs now does then, instead of what an earlier one would have done; at once
  // where it is cancelled already. It may come when the step has ended: it must do no harm then.
  void OnCancel(absl::AnyInvocable<void() &&> then) {
    {
      absl::MutexLock lock(&mutex_);
      if (!cancelled_) {
        then_ = std::move(then);
        return;
      }
    }
    std::move(then)();
  }

 private:
  mutable absl::Mutex mutex_;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  absl::AnyInvocable<void() &&> then_ ABSL_GUARDED_BY(mutex_);
};

// Until a time, and, where there is a cancellation, while it is not cancelled. Without an origin
// it is nobody's call that waits: work of the background, or that many share.
struct Patience {
  Patience(absl::Time until) : deadline(until) {}  // NOLINT: a time is patience
  Patience(absl::Time until, std::shared_ptr<Cancellation> or_until,
           std::shared_ptr<const Origin> of = nullptr)
      : deadline(until), cancellation(std::move(or_until)), origin(std::move(of)) {}

  bool ended() const { return cancellation != nullptr && cancellation->cancelled(); }

  absl::Time deadline;
  std::shared_ptr<Cancellation> cancellation;
  std::shared_ptr<const Origin> origin;
};

}  // namespace kvstore

#endif  // KVCOMMON_PATIENCE_H_
