#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <cmath>

#include "KVService/observe/status_report.h"

namespace kvstore {

namespace {

constexpr double kSecondsRecent = static_cast<double>(StatusSamples::kRecent) *
                                  static_cast<double>(StatusSamples::kInterval.count());
// Of requests to Azure; fewer than so many say nothing.
constexpr double kManyRetries = 0.2;
constexpr double kTellingRequests = 5;
// The log is polled every second; servers stop trusting it after 3 s.
constexpr double kOldLogSeconds = 10;
// Uploads that wait longer than any hiccup of Azure's.
constexpr double kOldUploadSeconds = 60;
// What is shared when others need it, not a failure of the server's.
constexpr std::string_view kOverload = "RESOURCE_EXHAUSTED";

}  // namespace

std::vector<StatusProblem> FindProblems(const absl::Status& ready, const MetricFamilies& families,
                                        const std::array<StatusSamples::Tier, kTiers>& tiers,
                                        const StatusSamples::Failures& failures) {
  std::vector<StatusProblem> problems;
  if (!ready.ok()) {
    problems.push_back({true, "Not ready, no calls are taken: " + std::string(ready.message())});
  }
  for (const auto& [code, count] : failures.calls) {
    problems.push_back(
        {code != kOverload,
         code == kOverload ? fmt::format("{:.0f} calls were refused in the last {:.0f} s, there is "
                                         "more to do than the limits allow",
                                         count, kSecondsRecent)
                           : fmt::format("{:.0f} calls failed in the last {:.0f} s with {}", count,
                                         kSecondsRecent, code)});
  }
  if (failures.azure_requests >= kTellingRequests &&
      failures.azure_retries >= kManyRetries * failures.azure_requests) {
    problems.push_back(
        {true, fmt::format("Azure fails: of {:.0f} requests in the last {:.0f} s {:.0f} were "
                           "further attempts",
                           failures.azure_requests, kSecondsRecent, failures.azure_retries)});
  }
  // The callers never hear of these: they get a miss, or the block from Azure.
  if (failures.disk_errors > 0) {
    problems.push_back({true, fmt::format("Disk fails: {:.0f} reads in the last {:.0f} s",
                                          failures.disk_errors, kSecondsRecent)});
  }
  if (failures.damaged > 0) {
    problems.push_back({true, fmt::format("{:.0f} blocks were found damaged in the last {:.0f} s, "
                                          "and are gone from where they were",
                                          failures.damaged, kSecondsRecent)});
  }
  for (const StatusSamples::Tier& tier : tiers) {
    if (tier.health.state == TierHealth::State::kSlow)
      problems.push_back({false, tier.health.words});
  }
  if (const double age = FindValue(families, "kvstore_log_age_seconds").value_or(0);
      age > kOldLogSeconds) {
    const std::string last =
        std::isfinite(age) ? fmt::format("was last read {:.0f} s ago", age) : "could not be read";
    problems.push_back(
        {false, "The shared log " + last + ": what other servers write is not seen"});
  }
  if (const double age =
          FindValue(families, "kvstore_disk_tier_oldest_pending_age_seconds").value_or(0);
      age > kOldUploadSeconds) {
    problems.push_back(
        {false, fmt::format("Uploads to Azure wait: the oldest acknowledged block is on this "
                            "machine's disk alone for {:.0f} s",
                            age)});
  }
  std::stable_partition(problems.begin(), problems.end(),
                        [](const StatusProblem& problem) { return problem.bad; });
  return problems;
}

}  // namespace kvstore
