// How long it would take to load blocks, from what loading took so far.
#ifndef KVCLIENT_SRC_LOAD_ESTIMATOR_H_
#define KVCLIENT_SRC_LOAD_ESTIMATOR_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace kvstore::client {

// One round trip, and then bytes at the rate at which reads deliver them, several at a time as they
// come: blocks that the server had in RAM at theirs, others at theirs. Thread-safe. Times are
// given, so that tests need no sleep.
class LoadEstimator {
 public:
  using Duration = std::chrono::microseconds;
  static Duration Now() {
    return std::chrono::duration_cast<Duration>(
        std::chrono::steady_clock::now().time_since_epoch());
  }

  // A call of a few bytes was on the network for so long.
  void RoundTrip(Duration network);

  // So many reads begin; each one that does ends.
  void ReadsBegin(Duration now, size_t count = 1);
  // It brought so many bytes (0: it failed), and the server fetched them from below its RAM.
  void ReadEnds(Duration now, size_t bytes, bool from_below);

  // nullopt where nothing was read yet. A kind that was not read yet is taken to be as the other.
  std::optional<Duration> Estimate(uint64_t bytes_in_ram, uint64_t bytes_below) const;

 private:
  // Bytes a microsecond, the more recent the weightier.
  struct Rate {
    double value = 0;
    void Add(double sample) { value = value == 0 ? sample : value + (sample - value) / 8; }
  };

  mutable absl::Mutex mutex_;
  double round_trip_us_ ABSL_GUARDED_BY(mutex_) = 0;
  Rate in_ram_ ABSL_GUARDED_BY(mutex_);
  Rate below_ ABSL_GUARDED_BY(mutex_);
  // Of the stretch that is being measured, while reads are under way.
  size_t reading_ ABSL_GUARDED_BY(mutex_) = 0;
  Duration since_ ABSL_GUARDED_BY(mutex_){0};
  uint64_t stretch_ram_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t stretch_below_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace kvstore::client

#endif  // KVCLIENT_SRC_LOAD_ESTIMATOR_H_
