// Metrics for Prometheus: GET /metrics over plain HTTP, in its text format.
#ifndef KVSERVICE_OBSERVE_METRICS_SERVER_H_
#define KVSERVICE_OBSERVE_METRICS_SERVER_H_

#include <memory>
#include <string>

#include "KVService/observe/metrics.h"
#include "absl/status/statusor.h"

namespace kvstore {

// Answers on threads of its own, two at a time.
class MetricsServer {
 public:
  // Asks `source` once a request. Port 0 takes a free one. UNAVAILABLE where the address cannot be
  // listened on.
  static absl::StatusOr<std::unique_ptr<MetricsServer>> Start(const std::string& host, int port,
                                                              MetricSource source);
  // Ends what runs; `source` is not called after it.
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
