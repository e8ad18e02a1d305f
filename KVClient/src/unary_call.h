// One request and its one answer, with retries, failover and a deadline.
#ifndef KVCLIENT_SRC_UNARY_CALL_H_
#define KVCLIENT_SRC_UNARY_CALL_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <memory>
#include <string>

#include "KVClient/src/core.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"

namespace kvstore::client {

struct UnaryRequest {
  const char* method = "";   // "Read"
  grpc::ByteBuffer message;  // sent by every attempt
  int64_t load = 0;          // for the choice of a connection, in bytes
  Clock::time_point deadline;
};

// Gives the answer's message, or the last attempt's error. `done` runs on one of gRPC's threads,
// never before this returns to the caller's; the request has been let go of by then.
void StartUnary(std::shared_ptr<Core> core, UnaryRequest request,
                absl::AnyInvocable<void(absl::StatusOr<grpc::ByteBuffer>) &&> done);

}  // namespace kvstore::client

#endif  // KVCLIENT_SRC_UNARY_CALL_H_
