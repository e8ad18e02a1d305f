#include "KVService/rpc/kv_service.h"

#include <utility>

#include "KVCommon/status_macros.h"
#include "KVService/rpc/byte_buffer.h"
#include "KVService/rpc/read_stream.h"
#include "KVService/rpc/requests.h"
#include "KVService/store/chunk_identity.h"
#include "absl/hash/hash.h"

namespace kvstore {
namespace {

// Calls of each method that each queue waits for: as many can arrive at once.
constexpr int kAwaitedCalls = 16;

// Fills `lookup` and gives the container that it names.
absl::StatusOr<Container> ParseLookup(const grpc::ByteBuffer& bytes, wire::LookupRequest* lookup) {
  const ReceivedMessage message(bytes);
  KV_RETURN_IF_ERROR(wire::ParseLookupRequest(message.pieces(), lookup));
  KV_RETURN_IF_ERROR(CheckLength("completion_id", lookup->completion_id));
  KV_RETURN_IF_ERROR(CheckLength("partition_key", lookup->partition_key));
  KV_ASSIGN_OR_RETURN(Container container,
                      ContainerOf(lookup->resource_name, lookup->container_name));
  if (lookup->tokens.empty()) return absl::InvalidArgumentError("tokens are missing");
  return container;
}

grpc::ByteBuffer AnswerLookup(const ChunkStore::LookupResult& result,
                              const wire::ServerMetrics& metrics, bool shared_store) {
  thread_local std::vector<wire::FoundLocation> found;
  thread_local std::string encoded;
  found.clear();
  for (const ChunkStore::FoundBlock& block : result.blocks) {
    found.push_back({block.hash, AsText(block.location), block.size, block.tier});
  }
  wire::EncodeFound(found, metrics, shared_store, &encoded);
  return ToByteBuffer(encoded);
}

// Before the store is asked.
void NoteAsked(UnaryCall* call) {
  if (call->record.timed) call->asked_us = call->watch().elapsed_us();
}

// Of a call that the storage has just answered.
void TimeStorage(UnaryCall* call) {
  if (!call->record.timed) return;
  call->record.TimeStorage(call->record.stages, call->watch().elapsed_us());
}

struct ParsedWrite {
  Container container;
  wire::WriteRequest request;
  Slice chunk;  // canonical
};

absl::StatusOr<ParsedWrite> ParseWrite(const grpc::ByteBuffer& bytes,
                                       const std::optional<Caller>& caller) {
  const ReceivedMessage message(bytes);
  ParsedWrite parsed;
  KV_ASSIGN_OR_RETURN(parsed.request, wire::ParseWriteRequest(message.pieces()));
  const wire::WriteRequest& request = parsed.request;
  KV_ASSIGN_OR_RETURN(parsed.container, ContainerOf(request.resource_name, request.container_name));
  if (!request.has_chunk) return absl::InvalidArgumentError("chunk is missing");
  // Before megabytes are copied.
  if (caller) {
    KV_RETURN_IF_ERROR(caller->Check(Right::kWrite, parsed.container, request.chunk.partition_key));
  }
  KV_RETURN_IF_ERROR(ValidateChunk(request.chunk));
  parsed.chunk = CanonicalChunk(message.pieces(), request.chunk, request.chunk_extent);
  return parsed;
}

}  // namespace

const std::array<UnaryCall::Method, 3> KVService::kUnary = {{
    {"Lookup", false, &KVService::OnLookup},
    {"Read", false, &KVService::OnRead},
    {"Write", true, &KVService::OnWrite},
}};

KVService::KVService(ChunkStore* store, RpcLog* log, Admission* admission,
                     const AccessControl* access)
    : store_(*store), log_(*log), admission_(*admission), access_(access) {
  using Method = grpc::internal::RpcServiceMethod;
  using Type = grpc::internal::RpcMethod::RpcType;
  // A method of ours that the service owns, without a handler: gRPC leaves it to our queues. One
  // that is not marked would count as synchronous, and gRPC start threads for it.
  auto add = [this, index = 0](const char* path, Type type) mutable {
    AddMethod(new Method(path, type, nullptr));
    MarkMethodRaw(index++);
  };
  add("/kvstore.KVStoreService/Lookup", Type::NORMAL_RPC);
  add("/kvstore.KVStoreService/Read", Type::NORMAL_RPC);
  add("/kvstore.KVStoreService/Write", Type::CLIENT_STREAMING);
  add("/kvstore.KVStoreService/StreamingRead", Type::BIDI_STREAMING);
}

void KVService::AwaitCall(const UnaryCall::Method& method, grpc::ServerContext* context,
                          grpc::ByteBuffer* request, UnaryCall::Stream* stream,
                          grpc::ServerCompletionQueue* queue, void* tag) {
  const auto index = static_cast<int>(&method - kUnary.data());
  if (method.uploads) {
    RequestAsyncClientStreaming(index, context, stream, queue, queue, tag);
  } else {
    RequestAsyncUnary(index, context, request, stream, queue, queue, tag);
  }
}

void KVService::AwaitStream(grpc::ServerContext* context, ReadStream::Stream* stream,
                            grpc::ServerCompletionQueue* queue, void* tag) {
  RequestAsyncBidiStreaming(static_cast<int>(kUnary.size()), context, stream, queue, queue, tag);
}

void KVService::Serve(grpc::ServerCompletionQueue* queue) {
  for (int i = 0; i < kAwaitedCalls; ++i) {
    for (const UnaryCall::Method& method : kUnary) UnaryCall::Await(&method, this, queue);
    ReadStream::Await(this, queue);
  }
}

void KVService::OnLookup(UnaryCall* call) {
  thread_local wire::LookupRequest lookup;
  const absl::StatusOr<Container> container = ParseLookup(call->request(), &lookup);
  if (!container.ok()) return call->Finish(container.status());
  call->record.completion_id = lookup.completion_id;
  call->record.blocks = static_cast<int64_t>(lookup.tokens.blocks());
  if (call->caller()) {
    const absl::Status may = call->caller()->Check(Right::kRead, *container, lookup.partition_key);
    if (!may.ok()) return call->Finish(may);
    NoteUse(*call, *container, lookup.partition_key);
  }
  NoteAsked(call);
  store_.Lookup(
      *container, {lookup.partition_key, lookup.tokens, lookup.precomputed_hashes},
      call->deadline(),
      [call, shared = store_.shared()](absl::StatusOr<ChunkStore::LookupResult> result) {
        if (!result.ok()) return call->Finish(result.status());
        call->record.found = static_cast<int64_t>(result->blocks.size());
        call->record.storage_us = result->storage_us;
        call->record.stages.AtStorage(shared, result->storage_us);
        TimeStorage(call);
        if (call->record.timed) {  // before the storage, and where there was none, all of it
          call->record.TimeTier("index", call->asked_us,
                                call->watch().elapsed_us() - result->storage_us);
        }
        call->response = AnswerLookup(*result, call->watch().Metrics(result->storage_us), shared);
        call->Finish(absl::OkStatus());
      },
      call->record.origin);
}

void KVService::NoteUse(const UnaryCall& call, const Container& container,
                        std::string_view partition) {
  if (!call.caller()) return;
  const Caller& caller = *call.caller();
  const uint64_t use = absl::HashOf(caller.name(), container.account, container.name, partition);
  TenantMetrics& tenants = log_.tenants();
  if (tenants.KnowsUse(use)) return;
  std::optional<Space> space;
  if (caller.Check(Right::kWrite, container, partition).ok()) {
    space = SpaceOf(container, DigestPartition(partition));
  }
  tenants.AddUse(use, caller.name(), space);
}

void KVService::OnRead(UnaryCall* call) {
  call->record.blocks = 1;
  absl::StatusOr<LocatedRead> read = ParseRead(call->request());
  if (!read.ok()) return call->Finish(read.status());
  call->record.completion_id = std::move(read->completion_id);
  const auto answer = [call, shared = store_.shared(),
                       &log = log_](absl::StatusOr<ChunkStore::ReadResult> result) {
    if (call->read_guard != nullptr) call->read_guard->Check(&result);
    AddStorageTime(result, call->watch(), shared, &log, &call->record.stages);
    if (call->record.timed) {
      call->record.TimeRead(call->record.stages, result.ok(), call->asked_us,
                            call->watch().elapsed_us());
    }
    if (!result.ok() && !absl::IsNotFound(result.status())) {
      return call->Finish(result.status());
    }
    call->response = AnswerRead(result, call->watch(), &call->record);
    call->Finish(absl::OkStatus());
  };
  if (call->caller()) {
    auto guard = GuardRead(*call->caller(), read->container, read->location);
    if (!guard.ok()) return answer(guard.status());
    call->read_guard = *std::move(guard);
  }
  NoteAsked(call);
  // The call lives until this returns, however soon it is answered.
  call->store_read =
      store_.Read(read->container, read->location, call->deadline(), answer, call->record.origin);
}

void KVService::OnWrite(UnaryCall* call) {
  call->record.blocks = 1;
  absl::StatusOr<ParsedWrite> write = ParseWrite(call->request(), call->caller());
  if (!write.ok()) return call->Finish(write.status());
  // The chunk is copied; gRPC's bytes would double what writes under way are limited to.
  call->ReleaseRequest();
  call->record.completion_id = write->request.chunk.completion_id;
  call->record.bytes = static_cast<int64_t>(write->chunk.size());
  NoteUse(*call, write->container, write->request.chunk.partition_key);
  const int64_t quota = call->caller() ? call->caller()->StoredBytes(
                                             write->container, write->request.chunk.partition_key)
                                       : 0;
  store_.Write(
      write->container, write->request.chunk, std::move(write->chunk), call->deadline(),
      [call, remotely = store_.writes_remotely()](absl::StatusOr<ChunkStore::WriteResult> result) {
        if (!result.ok()) return call->Finish(result.status());
        call->record.storage_us = result->storage_us;
        call->record.stages.AtStorage(remotely, result->storage_us);
        TimeStorage(call);
        call->record.found = result->stored ? 0 : 1;
        wire::WriteResponse written;
        written.success = true;
        written.metrics = call->watch().Metrics(result->storage_us);
        call->response = ToByteBuffer(wire::Encode(written));
        call->Finish(absl::OkStatus());
      },
      static_cast<uint64_t>(quota), call->record.origin);
}

}  // namespace kvstore
