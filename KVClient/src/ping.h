// Whether a server answers.
#ifndef KVCLIENT_SRC_PING_H_
#define KVCLIENT_SRC_PING_H_

#include <grpcpp/client_context.h>
#include <grpcpp/support/byte_buffer.h>

#include <chrono>

#include "KVClient/src/channel_pool.h"
#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"

namespace kvstore::client {

// Sends the LookupRequest `message` over every connection of `pool`; those that are down are made
// anew. `authorize` says who calls, before this returns. `done` runs once, on one of gRPC's
// threads: true where all were answered within `time`, be it with an error, other than that the
// server is unavailable.
void PingAll(ChannelPool& pool, const grpc::ByteBuffer& message, std::chrono::nanoseconds time,
             absl::FunctionRef<void(grpc::ClientContext*)> authorize,
             absl::AnyInvocable<void(bool answered) &&> done);

}  // namespace kvstore::client

#endif  // KVCLIENT_SRC_PING_H_
