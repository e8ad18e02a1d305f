#include "KVService/rpc/kv_service.h"

#include <utility>

#include "KVCommon/status_macros.h"
#include "KVService/rpc/byte_buffer.h"
#include "KVService/rpc/read_stream.h"
#include "KVService/rpc/requests.h"
#include "KVService/store/chunk_identity.h"

namespace kvstore {
namespace {

absl::Status ShuttingDown() { return absl::UnavailableError("the server is shutting down"); }

// A unary call from its arrival to its one Finish.
class UnaryCall {
 public:
  UnaryCall(RpcLog* log, CallGate* gate, grpc::CallbackServerContext* context, std::string_view rpc)
      : log_(log), gate_(gate), reactor_(context->DefaultReactor()), admitted_(gate->Enter()) {
    record.rpc = rpc;
  }

  // Not OK: the server is to end, and the call must finish with this.
  absl::Status admission() const { return admitted_ ? absl::OkStatus() : ShuttingDown(); }

  grpc::ServerUnaryReactor* reactor() const { return reactor_; }
  const Stopwatch& watch() const { return watch_; }

  grpc::ServerUnaryReactor* Finish(const absl::Status& status) {
    record.code = CodeName(status.code());
    record.total_us = watch_.elapsed_us();
    log_->Write(record);
    LogFailure(record, status);
    // Copied: finishing may free what holds this call.
    CallGate* const gate = admitted_ ? gate_ : nullptr;
    grpc::ServerUnaryReactor* const reactor = reactor_;
    reactor->Finish(ToGrpc(status));
    if (gate != nullptr) gate->Leave();
    return reactor;
  }

  RpcRecord record;

 private:
  RpcLog* log_;
  CallGate* gate_;
  grpc::ServerUnaryReactor* reactor_;
  bool admitted_;
  Stopwatch watch_;
};

// A stream that comes when the server is to end.
class RefusedStream final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  RefusedStream() { Finish(ToGrpc(ShuttingDown())); }
  void OnDone() override { delete this; }
};

struct ParsedLookup {
  Container container;
  ChunkStore::LookupQuery query;
  std::string completion_id;
};

absl::StatusOr<ParsedLookup> ParseLookup(const grpc::ByteBuffer& bytes) {
  const ReceivedMessage message(bytes);
  ParsedLookup parsed;
  KV_ASSIGN_OR_RETURN(wire::LookupRequest lookup, wire::ParseLookupRequest(message.pieces()));
  KV_RETURN_IF_ERROR(CheckLength("completion_id", lookup.completion_id));
  KV_RETURN_IF_ERROR(CheckLength("partition_key", lookup.partition_key));
  KV_ASSIGN_OR_RETURN(parsed.container, ContainerOf(lookup.resource_name, lookup.container_name));
  if (lookup.tokens.empty()) return absl::InvalidArgumentError("tokens are missing");
  parsed.query = {std::move(lookup.partition_key), std::move(lookup.tokens),
                  std::move(lookup.precomputed_hashes)};
  parsed.completion_id = std::move(lookup.completion_id);
  return parsed;
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
  KV_RETURN_IF_ERROR(ValidateChunk(request.chunk));  // before megabytes are copied
  parsed.chunk = CanonicalChunk(message, request);
  return parsed;
}

}  // namespace

grpc::ServerUnaryReactor* KVService::Lookup(grpc::CallbackServerContext* context,
                                            const grpc::ByteBuffer* request,
                                            grpc::ByteBuffer* response) {
  UnaryCall call(&log_, &gate_, context, "Lookup");
  if (!call.admission().ok()) return call.Finish(call.admission());
  absl::StatusOr<ParsedLookup> lookup = ParseLookup(*request);
  if (!lookup.ok()) return call.Finish(lookup.status());
  call.record.completion_id = std::move(lookup->completion_id);
  call.record.blocks = static_cast<int64_t>(lookup->query.tokens.size() / kBlockTokens);
  grpc::ServerUnaryReactor* reactor = call.reactor();
  store_.Lookup(
      lookup->container, std::move(lookup->query), DeadlineOf(context->deadline()),
      [call = std::move(call), response](absl::StatusOr<ChunkStore::LookupResult> result) mutable {
        if (!result.ok()) {
          call.Finish(result.status());
          return;
        }
        wire::LookupResponse found;
        for (ChunkStore::FoundBlock& block : result->blocks) {
          found.last_hash = block.hash;
          found.locations.push_back({block.hash, std::move(block.location)});
        }
        found.cached_blocks = static_cast<int32_t>(found.locations.size());
        found.success = true;
        found.metrics = call.watch().Metrics(result->storage_us);
        call.record.found = found.cached_blocks;
        call.record.storage_us = result->storage_us;
        *response = ToByteBuffer(wire::Encode(found));
        call.Finish(absl::OkStatus());
      });
  return reactor;
}

grpc::ServerUnaryReactor* KVService::Read(grpc::CallbackServerContext* context,
                                          const grpc::ByteBuffer* request,
                                          grpc::ByteBuffer* response) {
  UnaryCall call(&log_, &gate_, context, "Read");
  call.record.blocks = 1;
  if (!call.admission().ok()) return call.Finish(call.admission());
  absl::StatusOr<LocatedRead> read = ParseRead(*request);
  if (!read.ok()) return call.Finish(read.status());
  call.record.completion_id = std::move(read->completion_id);
  grpc::ServerUnaryReactor* reactor = call.reactor();
  store_.Read(
      read->container, read->location, DeadlineOf(context->deadline()),
      [call = std::move(call), response](absl::StatusOr<ChunkStore::ReadResult> result) mutable {
        if (!result.ok() && !absl::IsNotFound(result.status())) {
          call.Finish(result.status());
          return;
        }
        *response = AnswerRead(result, call.watch(), &call.record);
        call.Finish(absl::OkStatus());
      });
  return reactor;
}

grpc::ServerUnaryReactor* KVService::Write(grpc::CallbackServerContext* context,
                                           const grpc::ByteBuffer* request,
                                           grpc::ByteBuffer* response) {
  UnaryCall call(&log_, &gate_, context, "Write");
  call.record.blocks = 1;
  if (!call.admission().ok()) return call.Finish(call.admission());
  absl::StatusOr<ParsedWrite> write = ParseWrite(*request);
  if (!write.ok()) return call.Finish(write.status());
  call.record.completion_id = write->request.chunk.completion_id;
  call.record.bytes = static_cast<int64_t>(write->chunk.size());
  // The chunk is copied; gRPC would keep its own bytes until the call ends, and writes under way
  // would take twice what they are limited to. The object is not const, only lent as such.
  const_cast<grpc::ByteBuffer*>(request)->Clear();
  grpc::ServerUnaryReactor* reactor = call.reactor();
  store_.Write(
      write->container, write->request.chunk, std::move(write->chunk),
      DeadlineOf(context->deadline()),
      [call = std::move(call), response](absl::StatusOr<ChunkStore::WriteResult> result) mutable {
        if (!result.ok()) {
          call.Finish(result.status());
          return;
        }
        call.record.storage_us = result->storage_us;
        call.record.found = result->stored ? 0 : 1;
        wire::WriteResponse written;
        written.success = true;
        written.metrics = call.watch().Metrics(result->storage_us);
        *response = ToByteBuffer(wire::Encode(written));
        call.Finish(absl::OkStatus());
      });
  return reactor;
}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* KVService::StreamingRead(
    grpc::CallbackServerContext* context) {
  if (!gate_.Enter()) return new RefusedStream;
  return new ReadStream(&store_, &log_, &gate_, &held_answers_, DeadlineOf(context->deadline()));
}

}  // namespace kvstore
