// gRPC connections tuned as KVStore's own are, and the bytes that the bare server understands.
#ifndef BENCHMARKS_DATAPLANE_RAW_CHANNEL_H_
#define BENCHMARKS_DATAPLANE_RAW_CHANNEL_H_

#include <grpcpp/channel.h>
#include <grpcpp/support/byte_buffer.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "benchmarks/dataplane/bench_request.h"

namespace kvstore::bench {

inline constexpr char kReadMethod[] = "/kvstore.KVStoreService/Read";
inline constexpr char kWriteMethod[] = "/kvstore.KVStoreService/Write";
inline constexpr char kStreamMethod[] = "/kvstore.KVStoreService/StreamingRead";
inline constexpr char kLookupMethod[] = "/kvstore.KVStoreService/Lookup";

// A connection of its own for each number.
std::shared_ptr<grpc::Channel> TunedChannel(const std::string& target, int number);

// The request, then `payload` by reference: it must outlive the call.
grpc::ByteBuffer Encode(const BenchRequest& request, std::span<const std::byte> payload);

// Copies the message into `memory`, as one does who hands it on. Its size; none where it is too
// large.
std::optional<size_t> CopyOut(const grpc::ByteBuffer& message, std::span<std::byte> memory);

}  // namespace kvstore::bench

#endif  // BENCHMARKS_DATAPLANE_RAW_CHANNEL_H_
