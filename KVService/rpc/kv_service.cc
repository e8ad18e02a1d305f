#include "KVService/rpc/kv_service.h"

#include <utility>

#include "KVCommon/status_macros.h"
#include "KVService/rpc/byte_buffer.h"
#include "KVService/rpc/read_stream.h"
#include "KVService/rpc/requests.h"

namespace kvstore {
namespace {

grpc::ServerUnaryReactor* Finish(grpc::ServerUnaryReactor* reactor, const absl::Status& status) {
  reactor->Finish(ToGrpc(status));
  return reactor;
}

struct ParsedWrite {
  Container container;
  wire::WriteRequest request;
  Slice chunk;  // canonical
};

// Takes the chunk out of the message in one piece, written anew where its encoding was odd.
Slice CanonicalChunk(const ReceivedMessage& message, const wire::WriteRequest& request) {
  if (request.chunk.canonical) return message.CopyOf(request.chunk_extent);
  const wire::Extent buffer = request.chunk.buffer;
  const wire::Frame frame = wire::FrameChunk(request.chunk, buffer.size);
  Buffer whole = Buffer::Allocate(frame.head.size() + buffer.size + frame.tail.size());
  std::byte* at = whole.data();
  std::memcpy(at, frame.head.data(), frame.head.size());
  wire::CopyOut(message.pieces(), buffer, at + frame.head.size());
  std::memcpy(at + frame.head.size() + buffer.size, frame.tail.data(), frame.tail.size());
  return std::move(whole).Freeze();
}

absl::StatusOr<ParsedWrite> ParseWrite(const grpc::ByteBuffer& bytes) {
  const ReceivedMessage message(bytes);
  ParsedWrite parsed;
  KV_ASSIGN_OR_RETURN(parsed.request, wire::ParseWriteRequest(message.pieces()));
  const wire::WriteRequest& request = parsed.request;
  KV_ASSIGN_OR_RETURN(parsed.container, ContainerOf(request.resource_name, request.container_name));
  if (!request.has_chunk) return absl::InvalidArgumentError("chunk is missing");
  KV_RETURN_IF_ERROR(ChunkStore::Validate(request.chunk));  // before megabytes are copied
  parsed.chunk = CanonicalChunk(message, request);
  return parsed;
}

}  // namespace

grpc::ServerUnaryReactor* KVService::Lookup(grpc::CallbackServerContext* context,
                                            const grpc::ByteBuffer* request,
                                            grpc::ByteBuffer* response) {
  const Stopwatch watch;
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  RpcRecord record{.rpc = "Lookup"};
  const auto answer = [&]() -> absl::Status {
    const ReceivedMessage message(*request);
    KV_ASSIGN_OR_RETURN(wire::LookupRequest lookup, wire::ParseLookupRequest(message.pieces()));
    record.completion_id = std::move(lookup.completion_id);
    record.blocks = static_cast<int64_t>(lookup.tokens.size() / kBlockTokens);
    KV_ASSIGN_OR_RETURN(const Container container,
                        ContainerOf(lookup.resource_name, lookup.container_name));
    if (lookup.tokens.empty()) return absl::InvalidArgumentError("tokens are missing");
    wire::LookupResponse found;
    for (ChunkStore::FoundBlock& block :
         store_.Lookup(container, lookup.partition_key, lookup.tokens, lookup.precomputed_hashes)) {
      found.last_hash = block.hash;
      found.locations.push_back({block.hash, std::move(block.location)});
    }
    found.cached_blocks = static_cast<int32_t>(found.locations.size());
    found.success = true;
    found.metrics = watch.Metrics(0);
    record.found = found.cached_blocks;
    *response = ToByteBuffer(wire::Encode(found));
    return absl::OkStatus();
  };
  const absl::Status status = answer();
  record.code = CodeName(status.code());
  record.total_us = watch.elapsed_us();
  log_.Write(record);
  return Finish(reactor, status);
}

grpc::ServerUnaryReactor* KVService::Read(grpc::CallbackServerContext* context,
                                          const grpc::ByteBuffer* request,
                                          grpc::ByteBuffer* response) {
  const Stopwatch watch;
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  RpcRecord record{.rpc = "Read", .blocks = 1};
  const auto finish = [this, watch, reactor](RpcRecord record, const absl::Status& status) {
    record.code = CodeName(status.code());
    record.total_us = watch.elapsed_us();
    log_.Write(record);
    Finish(reactor, status);
  };
  absl::StatusOr<LocatedRead> read = ParseRead(*request);
  if (!read.ok()) {
    finish(std::move(record), read.status());
    return reactor;
  }
  record.completion_id = std::move(read->completion_id);
  store_.Read(
      read->container, read->location, DeadlineOf(context->deadline()),
      [=, record = std::move(record)](absl::StatusOr<ChunkStore::ReadResult> result) mutable {
        if (!result.ok() && !absl::IsNotFound(result.status())) {
          return finish(std::move(record), result.status());
        }
        *response = AnswerRead(result, watch, &record);
        finish(std::move(record), absl::OkStatus());
      });
  return reactor;
}

grpc::ServerUnaryReactor* KVService::Write(grpc::CallbackServerContext* context,
                                           const grpc::ByteBuffer* request,
                                           grpc::ByteBuffer* response) {
  const Stopwatch watch;
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  RpcRecord record{.rpc = "Write", .blocks = 1};
  const auto finish = [this, watch, reactor](RpcRecord record, const absl::Status& status) {
    record.code = CodeName(status.code());
    record.total_us = watch.elapsed_us();
    log_.Write(record);
    Finish(reactor, status);
  };
  absl::StatusOr<ParsedWrite> write = ParseWrite(*request);
  if (!write.ok()) {
    finish(std::move(record), write.status());
    return reactor;
  }
  record.completion_id = write->request.chunk.completion_id;
  record.bytes = static_cast<int64_t>(write->chunk.size());
  store_.Write(
      write->container, write->request.chunk, std::move(write->chunk),
      DeadlineOf(context->deadline()),
      [=, record = std::move(record)](absl::StatusOr<ChunkStore::WriteResult> result) mutable {
        if (!result.ok()) return finish(std::move(record), result.status());
        record.storage_us = result->storage_us;
        record.found = result->stored ? 0 : 1;
        wire::WriteResponse written;
        written.success = true;
        written.metrics = watch.Metrics(result->storage_us);
        *response = ToByteBuffer(wire::Encode(written));
        finish(std::move(record), absl::OkStatus());
      });
  return reactor;
}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* KVService::StreamingRead(
    grpc::CallbackServerContext* context) {
  return new ReadStream(&store_, &log_, DeadlineOf(context->deadline()));
}

}  // namespace kvstore
