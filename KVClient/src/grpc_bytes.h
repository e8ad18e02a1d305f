// Between our bytes and gRPC's.
#ifndef KVCLIENT_SRC_GRPC_BYTES_H_
#define KVCLIENT_SRC_GRPC_BYTES_H_

#include <grpcpp/client_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>
#include <grpcpp/support/status.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "KVCommon/wire.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"

namespace kvstore::client {

grpc::ByteBuffer ToByteBuffer(const std::string& message);

// Encoded to where it is sent from.
grpc::ByteBuffer ToByteBuffer(const wire::LookupRequestView& request);

// The message head + memory + tail, with `memory` by reference. `released` runs once gRPC holds no
// reference to it any more, on whatever thread let go of the last and perhaps under gRPC's own
// locks: it may do next to nothing.
grpc::ByteBuffer ToByteBuffer(const wire::Frame& frame, std::span<const std::byte> memory,
                              absl::AnyInvocable<void() &&> released);

// A received message, as the wire parsers take it, sharing its memory.
class ReceivedMessage {
 public:
  explicit ReceivedMessage(const grpc::ByteBuffer& message);
  ReceivedMessage(const ReceivedMessage&) = delete;
  ReceivedMessage& operator=(const ReceivedMessage&) = delete;

  // False where gRPC cannot give the bytes (a compression that it does not know).
  bool ok() const { return ok_; }
  wire::Pieces pieces() const { return pieces_; }

 private:
  bool ok_;
  std::vector<grpc::Slice> slices_;  // short ones hold their bytes inside: never moved
  std::vector<ByteView> pieces_;
};

absl::Status ToStatus(const grpc::Status& status);

// How long a call that has ended is asked to wait before the next attempt, by gRPC's trailing
// metadata "grpc-retry-pushback-ms"; 0 where it is not.
std::chrono::milliseconds RetryHintOf(const grpc::ClientContext& context);

}  // namespace kvstore::client

#endif  // KVCLIENT_SRC_GRPC_BYTES_H_
