// gRPC's health service, grpc.health.v1.Health, on the queues that serve all other calls: gRPC's
// own would start threads of its own, which poll.
#ifndef KVSERVICE_RPC_HEALTH_SERVICE_H_
#define KVSERVICE_RPC_HEALTH_SERVICE_H_

#include <grpcpp/impl/service_type.h>
#include <grpcpp/server_builder.h>

#include <atomic>
#include <chrono>

#include "KVService/rpc/health.h"

namespace kvstore {

// Check and Watch need no token: they tell what a connection that is refused would tell as well.
// Thread-safe.
class HealthService final : public grpc::Service {
 public:
  // Watches at a time; more are told RESOURCE_EXHAUSTED.
  static constexpr int kMaxWatches = 1000;
  // How late a Watch may learn of a change.
  static constexpr std::chrono::milliseconds kPollInterval{500};

  // Both must outlive the service's calls.
  explicit HealthService(HealthSource source);

  // Begins to take calls from the queue. REQUIRES: the server has started.
  void Serve(grpc::ServerCompletionQueue* queue);

  // Watches end, with UNAVAILABLE, within kPollInterval.
  void EndWatches() { ending_ = true; }

 private:
  class CheckCall;
  class WatchCall;

  const HealthSource source_;
  std::atomic<int> watches_ = 0;
  std::atomic<bool> ending_ = false;
};

}  // namespace kvstore

#endif  // KVSERVICE_RPC_HEALTH_SERVICE_H_
