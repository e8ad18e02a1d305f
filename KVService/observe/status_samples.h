// The last minutes of a server's figures, one sample every few seconds, made of its metrics: so
// that a page that is opened later shows the past, and slow is told from usual.
#ifndef KVSERVICE_OBSERVE_STATUS_SAMPLES_H_
#define KVSERVICE_OBSERVE_STATUS_SAMPLES_H_

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "KVService/observe/metrics_lookup.h"
#include "KVService/observe/tier_health.h"
#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace kvstore {

// Thread-safe.
class StatusSamples {
 public:
  static constexpr std::chrono::seconds kInterval{2};
  static constexpr size_t kKept = 450;  // 15 min
  // Samples that "now" is the mean of, and of which the past is made.
  static constexpr size_t kNow = 5;
  // Samples that failures are told for.
  static constexpr size_t kRecent = 15;

  // What a sample has, each a number or nothing (NaN), of the time since the one before: shares,
  // events a second, megabytes a second, milliseconds.
  static constexpr std::string_view kColumns[] = {
      "hit_ratio",     "lookups_s",     "reads_s",       "writes_s",    "read_mb_s",
      "write_mb_s",    "lookup_p50_ms", "lookup_p99_ms", "read_p50_ms", "read_p99_ms",
      "stream_p99_ms", "write_p99_ms",  "ram_ms",        "disk_ms",     "azure_ms",
      "evictions_s",   "failed_s"};
  static constexpr size_t kColumnCount = std::size(kColumns);

  struct Sample {
    absl::Time time;
    std::array<float, kColumnCount> values;
  };

  // Adds a sample of the `elapsed` time since the last call; the first call makes none.
  void Take(absl::Time now, absl::Duration elapsed, const MetricFamilies& families);

  // From number `first` on, in order; numbers begin at 0. Gives the first one's number as well.
  std::pair<uint64_t, std::vector<Sample>> Since(uint64_t first) const;

  struct Tier {
    TierHealth health;
    Durations now;
  };
  // In the order of kTierKinds.
  std::array<Tier, kTiers> Tiers() const;

  // Of the last kRecent samples: calls that failed for a reason of the server's, by status code;
  // requests to Azure, and those of them that had to be made again; blocks that were found damaged,
  // and reads of the disk tier that failed otherwise, for which Azure was asked instead.
  struct Failures {
    std::vector<std::pair<std::string, double>> calls;
    double azure_requests = 0;
    double azure_retries = 0;
    double damaged = 0;
    double disk_errors = 0;
  };
  Failures RecentFailures() const;

 private:
  struct Kept {
    Sample sample;
    std::array<Durations, kTiers> tiers;  // without bounds
    std::array<double, 8> failed{};       // by code, as kFailures has them
    double azure_requests = 0;
    double azure_retries = 0;
    double damaged = 0;
    double disk_errors = 0;
  };
  // Counters as they stood last.
  struct Counters {
    bool taken = false;
    std::array<double, 16> values{};
    std::array<double, 8> failed{};
    std::array<Durations, 4> methods;
    std::array<Durations, kTiers> tiers;
  };
  static Counters Read(const MetricFamilies& families);
  static Kept Difference(const Counters& before, const Counters& now, double seconds);

  mutable absl::Mutex mutex_;
  Counters last_ ABSL_GUARDED_BY(mutex_);
  std::deque<Kept> kept_ ABSL_GUARDED_BY(mutex_);
  uint64_t first_ ABSL_GUARDED_BY(mutex_) = 0;  // the number of kept_[0]
};

}  // namespace kvstore

#endif  // KVSERVICE_OBSERVE_STATUS_SAMPLES_H_
