// One request and its one answer, with retries, failover and a deadline.
#ifndef KVCLIENT_SRC_UNARY_CALL_H_
#define KVCLIENT_SRC_UNARY_CALL_H_

#include <grpcpp/client_context.h>
#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "KVClient/src/call_ids.h"
#include "KVClient/src/core.h"
#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"

namespace kvstore::client {

// Ends a call from outside. Thread-safe.
class Canceller {
 public:
  // The call ends soon, with CANCELLED, unless it has ended.
  void Cancel();

  // The attempt that runs; null for none. False where the call was cancelled.
  bool Runs(grpc::ClientContext* context);

 private:
  absl::Mutex mutex_;
  grpc::ClientContext* context_ ABSL_GUARDED_BY(mutex_) = nullptr;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
};

struct UnaryRequest {
  const char* method = "";   // "Read"
  grpc::ByteBuffer message;  // sent by every attempt
  int64_t load = 0;          // on the way, in bytes
  Clock::time_point deadline;
  Fleet::Operation operation = Fleet::Operation::kLookup;
  CallIds ids;
  LocationKeys keys;  // where there are several servers

  std::optional<size_t> first;  // the server of the first attempt, where it is chosen already
  std::vector<size_t> tried;    // not to be asked
  std::shared_ptr<Canceller> canceller;
};

// Gives the answer's message, or the last attempt's error. `done` runs on one of gRPC's threads,
// never before this returns to the caller's; the request has been let go of by then.
void StartUnary(std::shared_ptr<Core> core, UnaryRequest request,
                absl::AnyInvocable<void(absl::StatusOr<grpc::ByteBuffer>) &&> done);

}  // namespace kvstore::client

#endif  // KVCLIENT_SRC_UNARY_CALL_H_
