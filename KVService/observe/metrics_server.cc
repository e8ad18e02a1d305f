#include "KVService/observe/metrics_server.h"

#include <prometheus/client_metric.h>
#include <prometheus/collectable.h>
#include <prometheus/exposer.h>
#include <prometheus/metric_family.h>
#include <prometheus/metric_type.h>
#include <spdlog/fmt/fmt.h>

#include <exception>
#include <utility>

namespace kvstore {

namespace {

constexpr size_t kThreads = 2;

prometheus::MetricType TypeOf(MetricType type) {
  switch (type) {
    case MetricType::kCounter:
      return prometheus::MetricType::Counter;
    case MetricType::kHistogram:
      return prometheus::MetricType::Histogram;
    case MetricType::kGauge:
      break;
  }
  return prometheus::MetricType::Gauge;
}

prometheus::ClientMetric WithLabels(const MetricLabels& labels) {
  prometheus::ClientMetric metric;
  for (const auto& [name, value] : labels) metric.label.push_back({name, value});
  return metric;
}

prometheus::ClientMetric ToPrometheus(const MetricHistogram& histogram) {
  prometheus::ClientMetric metric = WithLabels(histogram.labels);
  uint64_t cumulative = 0;
  for (size_t i = 0; i < histogram.counts.size(); ++i) {
    cumulative += histogram.counts[i];
    if (i < histogram.bounds.size()) {
      metric.histogram.bucket.push_back({cumulative, histogram.bounds[i]});
    }
  }
  metric.histogram.sample_count = cumulative;
  metric.histogram.sample_sum = histogram.sum;
  return metric;
}

prometheus::MetricFamily ToPrometheus(const MetricFamily& family) {
  prometheus::MetricFamily result{family.name, family.help, TypeOf(family.type), {}};
  for (const MetricSample& sample : family.samples) {
    prometheus::ClientMetric metric = WithLabels(sample.labels);
    (family.type == MetricType::kCounter ? metric.counter.value : metric.gauge.value) =
        sample.value;
    result.metric.push_back(std::move(metric));
  }
  for (const MetricHistogram& histogram : family.histograms) {
    result.metric.push_back(ToPrometheus(histogram));
  }
  return result;
}

class SourceCollectable : public prometheus::Collectable {
 public:
  explicit SourceCollectable(MetricSource source) : source_(std::move(source)) {}

  std::vector<prometheus::MetricFamily> Collect() const override {
    std::vector<prometheus::MetricFamily> result;
    for (const MetricFamily& family : source_()) result.push_back(ToPrometheus(family));
    return result;
  }

 private:
  const MetricSource source_;
};

}  // namespace

struct MetricsServer::Parts {
  std::shared_ptr<prometheus::Collectable> collectable;  // the exposer holds it weakly
  std::unique_ptr<prometheus::Exposer> exposer;
};

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Start(const std::string& host,
                                                                    int port, MetricSource source) {
  const bool bare_ipv6 = host.find(':') != std::string::npos && !host.starts_with('[');
  const std::string address = fmt::format("{}:{}", bare_ipv6 ? "[" + host + "]" : host, port);
  auto parts = std::make_unique<Parts>();
  parts->collectable = std::make_shared<SourceCollectable>(std::move(source));
  try {
    parts->exposer = std::make_unique<prometheus::Exposer>(address, kThreads);
    parts->exposer->RegisterCollectable(parts->collectable);
    const std::vector<int> ports = parts->exposer->GetListeningPorts();
    if (!ports.empty()) {
      return std::unique_ptr<MetricsServer>(new MetricsServer(std::move(parts), ports.front()));
    }
  } catch (const std::exception&) {
    // Its message says "null context".
  }
  return absl::UnavailableError(
      fmt::format("metrics cannot listen on {}: is the port taken, or the address not this "
                  "machine's?",
                  address));
}

MetricsServer::MetricsServer(std::unique_ptr<Parts> parts, int port)
    : parts_(std::move(parts)), port_(port) {}

MetricsServer::~MetricsServer() = default;

}  // namespace kvstore
