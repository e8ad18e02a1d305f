#include "benchmarks/dataplane/raw_channel.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <cstring>
#include <vector>

#include "KVCommon/limits.h"

namespace kvstore::bench {

std::shared_ptr<grpc::Channel> TunedChannel(const std::string& target, int number) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kStreamWindowBytes);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, kMaxFrameBytes);
  arguments.SetInt(GRPC_ARG_HTTP2_WRITE_BUFFER_SIZE, kWriteBufferBytes);
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  arguments.SetMaxSendMessageSize(kMaxMessageBytes);
  arguments.SetInt("kvstore.bench.connection", number);  // or gRPC would share one
  return grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments);
}

grpc::ByteBuffer Encode(const BenchRequest& request, std::span<const std::byte> payload) {
  BenchRequest sized = request;
  sized.send_bytes = payload.size();
  const grpc::Slice slices[] = {
      grpc::Slice(&sized, sizeof sized),
      grpc::Slice(payload.data(), payload.size(), grpc::Slice::STATIC_SLICE)};
  return grpc::ByteBuffer(slices, payload.empty() ? 1 : 2);
}

std::optional<size_t> CopyOut(const grpc::ByteBuffer& message, std::span<std::byte> memory) {
  std::vector<grpc::Slice> slices;
  if (!message.Dump(&slices).ok()) return std::nullopt;
  size_t at = 0;
  for (const grpc::Slice& slice : slices) {
    if (slice.size() > memory.size() - at) return std::nullopt;
    std::memcpy(memory.data() + at, slice.begin(), slice.size());
    at += slice.size();
  }
  return at;
}

}  // namespace kvstore::bench
