#include "KVService/observe/metrics.h"

namespace kvstore {

MetricFamily Counter(std::string name, std::string help, double value) {
  return {std::move(name), std::move(help), MetricType::kCounter, {{{}, value}}, {}};
}

MetricFamily Gauge(std::string name, std::string help, double value) {
  return {std::move(name), std::move(help), MetricType::kGauge, {{{}, value}}, {}};
}

}  // namespace kvstore
