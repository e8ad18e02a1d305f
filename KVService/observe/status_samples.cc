#include "KVService/observe/status_samples.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace kvstore {

namespace {

constexpr float kNothing = std::numeric_limits<float>::quiet_NaN();

// The counters that samples are made of.
enum Counter : size_t {
  kLookupHits,
  kLookupMisses,
  kReadHits,
  kReadMisses,
  kSentBytes,
  kReceivedBytes,
  kRamEvictions,
  kDiskEvictions,
  kTierEvictions,
  kAzureRequests,
  kAzureRetries,
  kCorruptChunks,
  kTierCorrupt,
  kTierErrors,
  kScrubErrors,
  kCounters
};
struct CounterName {
  std::string_view family;
  std::string_view result;  // the label; empty: all samples
};
constexpr CounterName kCounterNames[] = {
    {"kvstore_lookup_blocks_total", "hit"},    {"kvstore_lookup_blocks_total", "miss"},
    {"kvstore_read_blocks_total", "hit"},      {"kvstore_read_blocks_total", "miss"},
    {"kvstore_sent_chunk_bytes_total", ""},    {"kvstore_received_chunk_bytes_total", ""},
    {"kvstore_ram_evictions_total", ""},       {"kvstore_evicted_chunks_total", ""},
    {"kvstore_disk_tier_evictions_total", ""}, {"kvstore_azure_requests_total", ""},
    {"kvstore_azure_retries_total", ""},       {"kvstore_corrupt_chunks_total", ""},
    {"kvstore_disk_tier_corrupt_total", ""},   {"kvstore_disk_tier_errors_total", ""},
    {"kvstore_scrub_errors_total", ""}};
static_assert(std::size(kCounterNames) == kCounters);

enum Method : size_t { kLookup, kRead, kStream, kWrite };
constexpr std::string_view kMethodNames[] = {"Lookup", "Read", "StreamingRead", "Write"};

// Codes that tell of the server rather than of the caller.
constexpr std::string_view kFailures[] = {"UNAVAILABLE", "INTERNAL",          "UNKNOWN",
                                          "DATA_LOSS",   "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"};

float Share(double part, double rest) {
  return part + rest > 0 ? static_cast<float>(part / (part + rest)) : kNothing;
}

float Quantile(const Durations& durations, double q) {
  return durations.count() > 0 ? static_cast<float>(durations.quantile_ms(q)) : kNothing;
}

float Mean(const Durations& durations) {
  return durations.count() > 0 ? static_cast<float>(durations.mean_ms()) : kNothing;
}

}  // namespace

StatusSamples::Counters StatusSamples::Read(const MetricFamilies& families) {
  Counters counters;
  counters.taken = true;
  static_assert(kCounters <= std::tuple_size_v<decltype(counters.values)>);
  for (size_t i = 0; i < kCounters; ++i) {
    MetricLabels labels;
    if (!kCounterNames[i].result.empty())
      labels = {{"result", std::string(kCounterNames[i].result)}};
    counters.values[i] = FindValue(families, kCounterNames[i].family, labels).value_or(0);
  }
  for (size_t i = 0; i < std::size(kFailures); ++i) {
    counters.failed[i] =
        FindValue(families, "kvstore_rpc_requests_total", {{"code", std::string(kFailures[i])}})
            .value_or(0);
  }
  for (size_t i = 0; i < std::size(kMethodNames); ++i) {
    counters.methods[i] = FindDurations(families, "kvstore_rpc_duration_seconds",
                                        {{"method", std::string(kMethodNames[i])}});
  }
  for (size_t i = 0; i < kTiers; ++i) {
    counters.tiers[i] = FindDurations(families, "kvstore_tier_read_duration_seconds",
                                      {{"tier", std::string(kTierKinds[i].label)}});
  }
  return counters;
}

StatusSamples::Kept StatusSamples::Difference(const Counters& before, const Counters& now,
                                              double seconds) {
  std::array<double, kCounters> grown{};
  for (size_t i = 0; i < kCounters; ++i) {
    grown[i] = std::max(now.values[i] - before.values[i], 0.0);
  }
  std::array<Durations, std::size(kMethodNames)> methods;
  for (size_t i = 0; i < methods.size(); ++i) {
    methods[i] = now.methods[i].Since(before.methods[i]);
  }
  Kept kept;
  std::array<float, kTiers> tier_ms{};
  for (size_t i = 0; i < kTiers; ++i) {
    kept.tiers[i] = now.tiers[i].Since(before.tiers[i]);
    kept.tiers[i].bounds.clear();
    tier_ms[i] = Mean(kept.tiers[i]);
  }
  double failed = 0;
  for (size_t i = 0; i < std::size(kFailures); ++i) {
    kept.failed[i] = std::max(now.failed[i] - before.failed[i], 0.0);
    failed += kept.failed[i];
  }
  kept.azure_requests = grown[kAzureRequests];
  kept.azure_retries = grown[kAzureRetries];
  kept.damaged = grown[kCorruptChunks] + grown[kTierCorrupt] + grown[kScrubErrors];
  kept.disk_errors = grown[kTierErrors];
  const auto rate = [seconds](double value) { return static_cast<float>(value / seconds); };
  kept.sample.values = {Share(grown[kLookupHits], grown[kLookupMisses]),
                        rate(static_cast<double>(methods[kLookup].count())),
                        rate(grown[kReadHits] + grown[kReadMisses]),
                        rate(static_cast<double>(methods[kWrite].count())),
                        rate(grown[kSentBytes] / 1e6),
                        rate(grown[kReceivedBytes] / 1e6),
                        Quantile(methods[kLookup], 0.5),
                        Quantile(methods[kLookup], 0.99),
                        Quantile(methods[kRead], 0.5),
                        Quantile(methods[kRead], 0.99),
                        Quantile(methods[kStream], 0.99),
                        Quantile(methods[kWrite], 0.99),
                        tier_ms[0],
                        tier_ms[1],
                        tier_ms[2],
                        rate(grown[kRamEvictions] + grown[kDiskEvictions] + grown[kTierEvictions]),
                        rate(failed)};
  return kept;
}

void StatusSamples::Take(absl::Time now, absl::Duration elapsed, const MetricFamilies& families) {
  Counters counters = Read(families);
  absl::MutexLock lock(&mutex_);
  if (last_.taken && elapsed > absl::ZeroDuration()) {
    if (kept_.size() == kKept) {
      kept_.pop_front();
      ++first_;
    }
    kept_.push_back(Difference(last_, counters, absl::ToDoubleSeconds(elapsed)));
    kept_.back().sample.time = now;
  }
  last_ = std::move(counters);
}

std::pair<uint64_t, std::vector<StatusSamples::Sample>> StatusSamples::Since(uint64_t first) const {
  absl::MutexLock lock(&mutex_);
  const uint64_t from = std::clamp(first, first_, first_ + kept_.size());
  std::vector<Sample> samples;
  for (uint64_t i = from; i < first_ + kept_.size(); ++i) {
    samples.push_back(kept_[i - first_].sample);
  }
  return {from, std::move(samples)};
}

std::array<StatusSamples::Tier, kTiers> StatusSamples::Tiers() const {
  absl::MutexLock lock(&mutex_);
  std::array<Tier, kTiers> tiers;
  for (size_t tier = 0; tier < kTiers; ++tier) {
    const auto sum = [&](size_t from, size_t to) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      Durations all;
      for (size_t i = from; i < to; ++i) all.Add(kept_[i].tiers[tier]);
      all.bounds = last_.tiers[tier].bounds;
      return all;
    };
    size_t end = kept_.size() - std::min(kNow, kept_.size());
    tiers[tier].now = sum(end, kept_.size());
    std::vector<Durations> past;
    for (; end > 0; end -= std::min(kNow, end)) {
      past.push_back(sum(end - std::min(kNow, end), end));
    }
    tiers[tier].health = JudgeTier(kTierKinds[tier], tiers[tier].now, past);
  }
  return tiers;
}

StatusSamples::Failures StatusSamples::RecentFailures() const {
  absl::MutexLock lock(&mutex_);
  Failures failures;
  std::array<double, std::size(kFailures)> failed{};
  for (size_t i = kept_.size() - std::min(kRecent, kept_.size()); i < kept_.size(); ++i) {
    for (size_t code = 0; code < failed.size(); ++code) failed[code] += kept_[i].failed[code];
    failures.azure_requests += kept_[i].azure_requests;
    failures.azure_retries += kept_[i].azure_retries;
    failures.damaged += kept_[i].damaged;
    failures.disk_errors += kept_[i].disk_errors;
  }
  for (size_t code = 0; code < failed.size(); ++code) {
    if (failed[code] > 0) failures.calls.emplace_back(kFailures[code], failed[code]);
  }
  return failures;
}

}  // namespace kvstore
