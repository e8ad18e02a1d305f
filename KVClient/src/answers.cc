#include "KVClient/src/answers.h"

#include <algorithm>
#include <string>
#include <utility>

#include "KVClient/src/grpc_bytes.h"

namespace kvstore::client {

::ServerMetrics MetricsOf(const wire::ServerMetrics& server, const Timing& timing,
                          Clock::time_point arrived) {
  ::ServerMetrics metrics;
  metrics.storage_latency_us = server.storage_latency_us;
  metrics.total_latency_us = server.total_latency_us;
  metrics.overhead_us = server.overhead_us;
  metrics.client_e2e_us = MicrosSince(timing.start);
  metrics.serialize_us = timing.serialize_us;
  metrics.deserialize_us = MicrosSince(arrived);
  // A server may report any number; ours still have to add up.
  const int64_t elsewhere = std::clamp<int64_t>(metrics.total_latency_us, 0, metrics.client_e2e_us);
  metrics.network_us = std::max<int64_t>(
      0, metrics.client_e2e_us - elsewhere - metrics.serialize_us - metrics.deserialize_us);
  return metrics;
}

absl::Status ServerError(std::string_view error) {
  return absl::UnknownError(error.empty() ? "the server reports failure and gives no reason"
                                          : std::string(error));
}

TakeBuffer CopyTo(PlaceBuffer place) {
  return [place = std::move(place)](size_t index, wire::Pieces message, wire::Extent buffer) {
    const std::span<std::byte> memory = place(index, buffer.size);
    if (memory.size() < buffer.size) {
      return absl::OutOfRangeError("the block has " + std::to_string(buffer.size) +
                                   " bytes, the memory given for it " +
                                   std::to_string(memory.size()));
    }
    wire::CopyOut(message, buffer, memory.data());
    return absl::OkStatus();
  };
}

BlockAnswer DecodeRead(const grpc::ByteBuffer& response, size_t index, const TakeBuffer& take,
                       const Timing& timing) {
  const auto arrived = Clock::now();
  BlockAnswer answer;
  const ReceivedMessage message(response);
  auto parsed = wire::ParseReadResponse(message.pieces());
  if (!message.ok() || !parsed.ok()) {
    answer.status = absl::InternalError("the server's answer is no ReadResponse: " +
                                        std::string(parsed.status().message()));
    return answer;
  }
  answer.metrics = MetricsOf(parsed->metrics, timing, arrived);
  if (!parsed->success) {
    answer.status = ServerError(parsed->error);
    return answer;
  }
  if (!parsed->found) return answer;
  if (!parsed->has_chunk) {
    answer.status = absl::InternalError("the server says found and sends no chunk");
    return answer;
  }
  wire::Chunk& chunk = parsed->chunk;
  answer.bytes = chunk.buffer.size;
  answer.status = take(index, message.pieces(), chunk.buffer);
  if (!answer.status.ok()) return answer;
  answer.found = true;
  answer.hash = chunk.hash;
  answer.parent_hash = chunk.parent_hash;
  answer.partition = std::move(chunk.partition_key);
  answer.completion_id = std::move(chunk.completion_id);
  answer.tokens = std::move(chunk.tokens);
  answer.metrics = MetricsOf(parsed->metrics, timing, arrived);
  return answer;
}

}  // namespace kvstore::client
