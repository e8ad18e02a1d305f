// What all calls share: checking what a request names, measuring, and gRPC's statuses.
#ifndef KVSERVICE_RPC_REQUESTS_H_
#define KVSERVICE_RPC_REQUESTS_H_

#include <grpcpp/support/status.h>

#include <chrono>
#include <string>
#include <string_view>

#include "KVCommon/wire.h"
#include "KVService/block/block_id.h"
#include "KVService/observe/rpc_log.h"
#include "KVService/rpc/call_gate.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace kvstore {

// The container that a request names. INVALID_ARGUMENT where either name is missing or malformed.
absl::StatusOr<Container> ContainerOf(const std::string& resource_name,
                                      const std::string& container_name);

// INVALID_ARGUMENT where the location is missing.
absl::Status CheckLocation(const std::string& location);

// INVALID_ARGUMENT where the field is longer than kMaxNameBytes.
absl::Status CheckLength(std::string_view field, const std::string& value);

// What calls get that the gate does not let in: UNAVAILABLE, so that clients go elsewhere.
absl::Status NotLetIn(CallGate::State state);

grpc::Status ToGrpc(const absl::Status& status);

// gRPC's name of a code: "OK", "INVALID_ARGUMENT"…
std::string_view CodeName(absl::StatusCode code);

// Logs a call that failed: an error where the server is at fault, verbose where the caller is.
void LogFailure(const RpcRecord& call, const absl::Status& status);

// A call's deadline in our terms; a call without one gets a generous bound.
absl::Time DeadlineOf(std::chrono::system_clock::time_point deadline);

// Measures one call.
class Stopwatch {
 public:
  int64_t elapsed_us() const {
    return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() -
                                                                 start_)
        .count();
  }
  wire::ServerMetrics Metrics(int64_t storage_us) const {
    const int64_t total = elapsed_us();
    return {storage_us, total, total - storage_us};
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace kvstore

#endif  // KVSERVICE_RPC_REQUESTS_H_
