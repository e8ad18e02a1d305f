// Measures a run of like operations: a warm-up, then a window in which all that ends counts.
#ifndef BENCHMARKS_DATAPLANE_METER_H_
#define BENCHMARKS_DATAPLANE_METER_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "benchmarks/dataplane/options.h"

namespace kvstore::bench {

using Clock = std::chrono::steady_clock;

// CPU seconds that were used so far.
struct Cpu {
  double client = 0;
  double server = 0;  // at the kernel's 10 ms
};

// Thread-safe.
class Meter {
 public:
  explicit Meter(const Options& options);

  // The number of the operation to begin now; none once the run is to end. Whoever gets none lets
  // those that run come to their end and begins no other.
  std::optional<uint64_t> Begin();

  // One that began at `began` has ended, and moved `bytes`; none where it failed.
  void End(Clock::time_point began, std::optional<size_t> bytes);

  // One JSON line of the measured window. REQUIRES: all that began have ended.
  std::string Report();

  uint64_t failures();

 private:
  void Count(Clock::time_point began, Clock::time_point now, size_t bytes);

  const Options options_;
  const Clock::time_point start_ = Clock::now();

  std::mutex mutex_;  // guards all below
  uint64_t begun_ = 0;
  uint64_t ended_ = 0;
  uint64_t failures_ = 0;
  bool measuring_ = false;
  bool stopped_ = false;
  Clock::time_point window_start_;
  Clock::time_point window_end_;
  Cpu cpu_start_;
  Cpu cpu_end_;
  uint64_t bytes_ = 0;
  std::vector<float> latencies_us_;
};

}  // namespace kvstore::bench

#endif  // BENCHMARKS_DATAPLANE_METER_H_
