#include "KVService/observe/metrics_server.h"

#include <civetweb.h>
#include <prometheus/client_metric.h>
#include <prometheus/metric_family.h>
#include <prometheus/metric_type.h>
#include <prometheus/text_serializer.h>
#include <spdlog/fmt/fmt.h>

#include <charconv>
#include <string_view>
#include <utility>
#include <vector>

#include "KVService/observe/status_page.h"

namespace kvstore {

namespace {

constexpr char kThreads[] = "2";
constexpr char kRequestTimeoutMs[] = "10000";

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

// `policy` is what a browser may do with it: nothing, where it is no page.
void Answer(mg_connection* connection, int code, const char* reason, const char* type,
            std::string_view body,
            const char* policy = "default-src 'none'; frame-ancestors 'none'") {
  // Not mg_printf, whose formats are those of each system's C library.
  const std::string head = fmt::format(
      "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nCache-Control: "
      "no-store\r\nContent-Security-Policy: {}\r\nX-Content-Type-Options: nosniff\r\n"
      "Referrer-Policy: no-referrer\r\nCross-Origin-Resource-Policy: same-origin\r\n"
      "Connection: close\r\n\r\n",
      code, reason, type, body.size(), policy);
  mg_write(connection, head.data(), head.size());
  mg_write(connection, body.data(), body.size());
}

// Of a query such as "since=12"; 0 where it has none.
uint64_t SinceOf(const char* query) {
  constexpr std::string_view kName = "since=";
  const std::string_view text = query == nullptr ? "" : query;
  uint64_t since = 0;
  if (text.starts_with(kName)) {
    std::from_chars(text.data() + kName.size(), text.data() + text.size(), since);
  }
  return since;
}

constexpr char kText[] = "text/plain; charset=utf-8";

}  // namespace

struct MetricsServer::Parts {
  MetricSource source;
  ReadySource ready;
  StatusSource status;
  mg_context* server = nullptr;

  ~Parts() {
    if (server != nullptr) mg_stop(server);  // waits for what runs
    mg_exit_library();
  }

  static int Asked(mg_connection* connection, void* data) {
    const Parts& parts = *static_cast<const Parts*>(data);
    const mg_request_info& request = *mg_get_request_info(connection);
    const std::string_view path = request.local_uri;
    if (std::string_view(request.request_method) != "GET") {
      Answer(connection, 405, "Method Not Allowed", kText, "this port answers GET\n");
    } else if (path == "/" && parts.status) {
      const StatusPage& page = TheStatusPage();
      Answer(connection, 200, "OK", "text/html; charset=utf-8", page.html, page.policy.c_str());
    } else if (path == "/status.json" && parts.status) {
      Answer(connection, 200, "OK", "application/json",
             parts.status(SinceOf(request.query_string)));
    } else if (path == "/metrics") {
      std::vector<prometheus::MetricFamily> families;
      for (const MetricFamily& family : parts.source()) families.push_back(ToPrometheus(family));
      Answer(connection, 200, "OK", "text/plain; version=0.0.4; charset=utf-8",
             prometheus::TextSerializer().Serialize(families));
    } else if (path == "/healthz") {
      Answer(connection, 200, "OK", kText, "ok\n");
    } else if (path == "/readyz") {
      const absl::Status ready = parts.ready();
      if (ready.ok()) {
        Answer(connection, 200, "OK", kText, "ok\n");
      } else {
        Answer(connection, 503, "Service Unavailable", kText, std::string(ready.message()) + "\n");
      }
    } else {
      Answer(connection, 404, "Not Found", kText,
             parts.status ? "there are /, /status.json, /metrics, /healthz and /readyz\n"
                          : "there are /metrics, /healthz and /readyz\n");
    }
    return 1;
  }
};

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Start(const std::string& host,
                                                                    int port, MetricSource source,
                                                                    ReadySource ready,
                                                                    StatusSource status) {
  const bool bare_ipv6 = host.find(':') != std::string::npos && !host.starts_with('[');
  const std::string address = fmt::format("{}:{}", bare_ipv6 ? "[" + host + "]" : host, port);
  mg_init_library(0);
  auto parts = std::make_unique<Parts>();
  parts->source = std::move(source);
  parts->ready = std::move(ready);
  parts->status = std::move(status);
  const char* const options[] = {"listening_ports",    address.c_str(),   "num_threads", kThreads,
                                 "request_timeout_ms", kRequestTimeoutMs, nullptr};
  const mg_callbacks callbacks{};
  parts->server = mg_start(&callbacks, nullptr, const_cast<const char**>(options));
  mg_server_port bound{};
  if (parts->server != nullptr && mg_get_server_ports(parts->server, 1, &bound) == 1) {
    mg_set_request_handler(parts->server, "/**", &Parts::Asked, parts.get());
    return std::unique_ptr<MetricsServer>(new MetricsServer(std::move(parts), bound.port));
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
