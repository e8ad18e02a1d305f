// Metrics as whoever has the numbers gives them, in Prometheus' terms and none of its types.
#ifndef KVSERVICE_OBSERVE_METRICS_H_
#define KVSERVICE_OBSERVE_METRICS_H_

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace kvstore {

using MetricLabels = std::vector<std::pair<std::string, std::string>>;  // name, value

struct MetricSample {
  MetricLabels labels;
  double value = 0;
};

struct MetricHistogram {
  MetricLabels labels;
  std::vector<double> bounds;    // upper ones, ascending, without infinity
  std::vector<uint64_t> counts;  // of each bucket alone; one more, for what is above all bounds
  double sum = 0;
};

enum class MetricType { kCounter, kGauge, kHistogram };

// All that bears one name. Names begin with "kvstore_", end in their base unit, counters in
// "_total".
struct MetricFamily {
  std::string name;
  std::string help;
  MetricType type = MetricType::kGauge;
  std::vector<MetricSample> samples;
  std::vector<MetricHistogram> histograms;  // of kHistogram, instead of samples
};
using MetricFamilies = std::vector<MetricFamily>;

// What there is now. Called on any thread, several at once; quick.
using MetricSource = std::function<MetricFamilies()>;

// A family of one sample without labels.
MetricFamily Counter(std::string name, std::string help, double value);
MetricFamily Gauge(std::string name, std::string help, double value);

}  // namespace kvstore

#endif  // KVSERVICE_OBSERVE_METRICS_H_
