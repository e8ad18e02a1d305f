// What others ask a server about itself, by GET over plain HTTP:
//   /         a page for people, and /status.json, what it shows
//   /metrics  for Prometheus, in its text format
//   /healthz  200 while the process answers at all: who does not is to be restarted
//   /readyz   200 while it takes calls; 503 and why while it loads, and while it ends
#ifndef KVSERVICE_OBSERVE_METRICS_SERVER_H_
#define KVSERVICE_OBSERVE_METRICS_SERVER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "KVService/observe/metrics.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace kvstore {

// OK while calls are taken; else why not. Called on any thread; quick.
using ReadySource = std::function<absl::Status()>;

// What the page shows, as JSON, with samples from a number on (StatusReport::Json). Called on any
// thread, several at once.
using StatusSource = std::function<std::string(uint64_t first_sample)>;

// Answers on threads of its own, two at a time.
class MetricsServer {
 public:
  // Asks `source`, `ready` or `status` once a request; without `status` there is no page. Port 0
  // takes a free one. UNAVAILABLE where the address cannot be listened on.
  static absl::StatusOr<std::unique_ptr<MetricsServer>> Start(
      const std::string& host, int port, MetricSource source,
      ReadySource ready = [] { return absl::OkStatus(); }, StatusSource status = nullptr);
  // Ends what runs; none is called after it.
  ~MetricsServer();
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;

  int port() const { return port_; }

 private:
  struct Parts;
  MetricsServer(std::unique_ptr<Parts> parts, int port);

  const std::unique_ptr<Parts> parts_;
  const int port_;
};

}  // namespace kvstore

#endif  // KVSERVICE_OBSERVE_METRICS_SERVER_H_
