// Something limited, given out in a fair order.
#ifndef KVSERVICE_ADMISSION_FAIR_QUEUE_H_
#define KVSERVICE_ADMISSION_FAIR_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "KVService/admission/fair_order.h"
#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"

namespace kvstore {

// Thread-safe.
class FairQueue {
 public:
  using Go = absl::AnyInvocable<void() &&>;

  // Gives out `limit` in all, and something to one always, however much that is.
  explicit FairQueue(int64_t limit) : limit_(limit) {}

  // Runs `go` once, when `amount` is the party's: before this returns, or later on the thread of
  // whoever gives back. It should start something and return. Whether anybody waits now.
  bool Ask(PartyId party, int64_t amount, Go go);

  // Gives an amount back; a negative one takes more without asking. Others may go before this
  // returns.
  void Return(int64_t amount);

  size_t waiting() const;
  int64_t given() const;

 private:
  struct Waiting {
    int64_t amount;
    Go go;
  };

  // Takes out what may go now, to be run without the lock.
  std::vector<Go> Next() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const int64_t limit_;
  mutable absl::Mutex mutex_;
  int64_t given_ ABSL_GUARDED_BY(mutex_) = 0;
  FairOrder<Waiting> waiting_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace kvstore

#endif  // KVSERVICE_ADMISSION_FAIR_QUEUE_H_
