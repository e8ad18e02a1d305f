// Memory that clients make the server hold: bounded, shared out, and taken from who is slow.
#ifndef KVSERVICE_ADMISSION_HELD_BYTES_H_
#define KVSERVICE_ADMISSION_HELD_BYTES_H_

#include <chrono>
#include <cstdint>
#include <list>

#include "KVService/admission/fair_order.h"
#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"

namespace kvstore {

// Thread-safe.
//
// A party may hold up to twice what nobody holds: alone two thirds of all, among k that take what
// they can 2 / (2k + 1) each, and always something is left for one who comes. (Dynamic thresholds:
// Choudhury and Hahne, 1998.)
class HeldBytes {
 public:
  // A client that takes longer than kPatience and what its bytes take at kLeastRate is slow: where
  // others need what it holds, it is ended.
  static constexpr std::chrono::milliseconds kPatience{2'000};
  static constexpr int64_t kLeastRate = 10 << 20;  // bytes a second

  using Clock = std::chrono::steady_clock;
  using Cancel = absl::AnyInvocable<void()>;  // quick: runs under the lock

  explicit HeldBytes(int64_t limit) : limit_(limit) {}

  // What one call holds.
  class Hold {
   public:
    bool holds() const { return bytes_ > 0; }
    int64_t bytes() const { return bytes_; }

   private:
    friend class HeldBytes;
    PartyId party_ = 0;
    int64_t bytes_ = 0;
    std::list<Hold*>::iterator place_;
    Clock::time_point since_;
    Cancel cancel_;
  };

  // Whether the party may hold that much more, and then `hold` does, until it is let go. One that
  // holds nothing yet may always have something where `must` says so. `cancel` makes the call let
  // go soon. REQUIRES: the hold holds nothing.
  bool Take(PartyId party, int64_t bytes, bool must, Hold* hold, Cancel cancel,
            Clock::time_point now = Clock::now());
  void LetGo(Hold* hold);

  // Ends slow calls, oldest first, until an eighth of the limit is on its way back. For who waits
  // for room.
  void EndSlowest(Clock::time_point now = Clock::now());

  int64_t bytes() const;
  int64_t ended() const;

 private:
  void EndSlowestLocked(Clock::time_point now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const int64_t limit_;
  mutable absl::Mutex mutex_;
  int64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t ended_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::flat_hash_map<PartyId, int64_t> of_party_ ABSL_GUARDED_BY(mutex_);
  std::list<Hold*> held_ ABSL_GUARDED_BY(mutex_);  // oldest first
};

}  // namespace kvstore

#endif  // KVSERVICE_ADMISSION_HELD_BYTES_H_
