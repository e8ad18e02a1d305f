// From a response's bytes to what the caller is given.
#ifndef KVCLIENT_SRC_ANSWERS_H_
#define KVCLIENT_SRC_ANSWERS_H_

#include <grpcpp/support/byte_buffer.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>

#include "KVClient/include/kvstore/client.h"
#include "KVClient/src/retry.h"
#include "KVCommon/wire.h"
#include "absl/status/status.h"

namespace kvstore::client {

inline int64_t MicrosSince(Clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start).count();
}

// When a call started, and what building its request cost.
struct Timing {
  Clock::time_point start = Clock::now();
  int64_t serialize_us = 0;
};

// The server's metrics with the client's added; the answer began to be parsed at `arrived`.
::ServerMetrics MetricsOf(const wire::ServerMetrics& server, const Timing& timing,
                          Clock::time_point arrived);

// What an answer with success = false means.
absl::Status ServerError(std::string_view error);

// Copies the buffer of block `index`, which lies at `buffer` in `message`, to where it is wanted.
// At most once a block.
using TakeBuffer =
    std::function<absl::Status(size_t index, wire::Pieces message, wire::Extent buffer)>;

// To the memory that `place` gives; OUT_OF_RANGE where that is too small.
TakeBuffer CopyTo(PlaceBuffer place);

// A ReadResponse, its buffer copied once, by `take`.
BlockAnswer DecodeRead(const grpc::ByteBuffer& response, size_t index, const TakeBuffer& take,
                       const Timing& timing);

}  // namespace kvstore::client

#endif  // KVCLIENT_SRC_ANSWERS_H_
