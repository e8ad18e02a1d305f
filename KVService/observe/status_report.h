// What the status page shows, as JSON; and the thread that takes the samples.
#ifndef KVSERVICE_OBSERVE_STATUS_REPORT_H_
#define KVSERVICE_OBSERVE_STATUS_REPORT_H_

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "KVService/observe/metrics.h"
#include "KVService/observe/shown_options.h"
#include "KVService/observe/slow_requests.h"
#include "KVService/observe/status_samples.h"
#include "absl/status/status.h"
#include "absl/time/time.h"

namespace kvstore {

// Thread-safe. Requests pay nothing for it: samples are made of the metrics, which exist anyway, by
// a thread of this object.
class StatusReport {
 public:
  // Lists are cut there, and how many more there are is told.
  static constexpr size_t kMostRows = 50;
  static constexpr size_t kMaxNameBytes = 128;

  struct Client {
    std::string address;
    uint64_t connections = 0;
  };
  struct Sources {
    std::string version;
    std::vector<ShownOption> options;
    MetricSource metrics;                          // quick, as for MetricsServer
    std::function<absl::Status()> ready;           // OK: takes calls; else why not
    std::function<std::vector<Client>()> clients;  // connected now, those with most first
    // Further facts of the process, such as its threads; names and values.
    std::vector<std::pair<std::string, std::string>> facts;
    SlowRequests* slow = nullptr;  // may be null
  };

  // Takes samples at once, until the destructor.
  explicit StatusReport(Sources sources);
  ~StatusReport();
  StatusReport(const StatusReport&) = delete;
  StatusReport& operator=(const StatusReport&) = delete;

  // All of it, samples from number `first` on. One JSON object; names that are not UTF-8 come with
  // replacement characters.
  std::string Json(uint64_t first) const;

 private:
  void Run();

  const Sources sources_;
  const absl::Time started_;
  const std::chrono::steady_clock::time_point started_steady_;
  StatusSamples samples_;

  // Not absl's: its timed waits follow the wall clock, which jumps.
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::thread thread_;
};

// What a person should know of first, in words; the worst first.
struct StatusProblem {
  bool bad = false;  // else something to look at
  std::string text;
};
std::vector<StatusProblem> FindProblems(const absl::Status& ready, const MetricFamilies& families,
                                        const std::array<StatusSamples::Tier, kTiers>& tiers,
                                        const StatusSamples::Failures& failures);

}  // namespace kvstore

#endif  // KVSERVICE_OBSERVE_STATUS_REPORT_H_
