// Finds numbers among metrics, by name and labels, for who reads them in the process itself.
#ifndef KVSERVICE_OBSERVE_METRICS_LOOKUP_H_
#define KVSERVICE_OBSERVE_METRICS_LOOKUP_H_

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "KVService/observe/metrics.h"

namespace kvstore {

// Null where there is none.
const MetricFamily* FindFamily(const MetricFamilies& families, std::string_view name);

// The label's value; empty where there is none.
std::string_view LabelOf(const MetricLabels& labels, std::string_view name);

// The sum of the samples that bear all of these labels; none where no sample does.
std::optional<double> FindValue(const MetricFamilies& families, std::string_view name,
                                const MetricLabels& labels = {});

// A distribution of durations, as a histogram's buckets tell it.
struct Durations {
  std::vector<double> bounds;    // as MetricHistogram's, in seconds
  std::vector<uint64_t> counts;  // likewise
  double seconds = 0;            // of all together

  uint64_t count() const;
  double mean_ms() const;  // 0 where there is none
  // Between the bounds of the bucket that has it; the last bound where it is above all of them.
  double quantile_ms(double q) const;
  void Add(const Durations& other);
  // What has come since `before`, which may be empty. Nothing where counters began anew.
  Durations Since(const Durations& before) const;
};

// Those that bear all of these labels, together; empty where none does.
Durations FindDurations(const MetricFamilies& families, std::string_view name,
                        const MetricLabels& labels = {});

}  // namespace kvstore

#endif  // KVSERVICE_OBSERVE_METRICS_LOOKUP_H_
