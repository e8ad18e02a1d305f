#include "KVClient/src/operations.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <string>
#include <utility>

#include "KVClient/src/answers.h"
#include "KVClient/src/call_queue.h"
#include "KVClient/src/grpc_bytes.h"
#include "KVClient/src/hedged_call.h"
#include "KVClient/src/unary_call.h"
#include "KVCommon/slice.h"
#include "KVCommon/wire.h"

namespace kvstore::client {
namespace {

static_assert(static_cast<int>(::BlockTier::Remote) == static_cast<int>(wire::BlockTier::kRemote));

absl::StatusOr<LookupAnswer> DecodeLookup(Fleet& fleet, const grpc::ByteBuffer& response,
                                          size_t blocks_asked, const Timing& timing) {
  const auto arrived = Clock::now();
  const ReceivedMessage message(response);
  auto parsed = wire::ParseLookupResponse(message.pieces());
  if (!message.ok() || !parsed.ok()) {
    return absl::InternalError("the server's answer is no LookupResponse: " +
                               std::string(parsed.status().message()));
  }
  if (!parsed->success) return ServerError(parsed->error);
  fleet.SetShared(parsed->shared_store);

  LookupAnswer answer;
  // Believe no more blocks than the answer gives locations for, and than were asked about.
  const size_t claimed = std::max(0, parsed->cached_blocks);
  const size_t cached = std::min({claimed, parsed->locations.size(), blocks_asked});
  answer.cached_blocks = static_cast<int>(cached);
  answer.locations.reserve(cached);
  for (size_t i = 0; i < cached; ++i) {
    wire::BlockLocation& location = parsed->locations[i];
    answer.locations.push_back({location.hash, std::move(location.location), location.size,
                                static_cast<::BlockTier>(location.tier)});
  }
  if (cached > 0) {
    answer.last_hash = cached == claimed ? parsed->last_hash : answer.locations.back().hash;
  }
  answer.metrics = MetricsOf(parsed->metrics, timing, arrived);
  return answer;
}

absl::StatusOr<::ServerMetrics> DecodeWrite(const grpc::ByteBuffer& response,
                                            const Timing& timing) {
  const auto arrived = Clock::now();
  const ReceivedMessage message(response);
  auto parsed = wire::ParseWriteResponse(message.pieces());
  if (!message.ok() || !parsed.ok()) {
    return absl::InternalError("the server's answer is no WriteResponse: " +
                               std::string(parsed.status().message()));
  }
  if (!parsed->success) return ServerError(parsed->error);
  return MetricsOf(parsed->metrics, timing, arrived);
}

// Locations begin with the same digest.
RouteKey PartitionKey(std::string_view partition) { return RouteKeyOf(Sha256(AsBytes(partition))); }

// By the digest that the server finds the block by, which its location bears.
LocationKeys KeysOf(const BlockToWrite& block) {
  const RouteKey partition = PartitionKey(block.partition);
  if (block.prefix_digest) return {partition, ChunkKeyOf(partition, *block.prefix_digest)};
  if (block.tokens.size() != kBlockTokens) return {partition, partition};  // the server refuses it
  const BlockTokens tokens = block.tokens.first<kBlockTokens>();
  return {partition,
          ChunkKeyOf(partition, block.parent_hash == 0 ? PrefixDigest(std::nullopt, tokens)
                                                       : ParentDigest(block.parent_hash, tokens))};
}

// Runs `done` once both the result is there and the caller's memory is released.
class WriteCompletion {
 public:
  WriteCompletion(WriteDone done, bool wait_for_memory)
      : done_(std::move(done)), awaited_(wait_for_memory ? 2 : 1) {}

  void Answered(absl::StatusOr<::ServerMetrics> result) {
    result_ = std::move(result);
    if (awaited_.fetch_sub(1) == 1) Run();
  }

  // On any thread of gRPC, perhaps under its locks, where a caller's callback must not run.
  static void Released(const std::shared_ptr<WriteCompletion>& self) {
    if (self->awaited_.fetch_sub(1) == 1) {
      RunAfter(std::chrono::milliseconds(0), [self] { self->Run(); });
    }
  }

 private:
  void Run() { std::move(done_)(std::move(result_)); }

  WriteDone done_;
  absl::StatusOr<::ServerMetrics> result_;
  std::atomic<int> awaited_;
};

}  // namespace

void CountRead(LoadEstimator& estimator, const BlockAnswer& answer) {
  estimator.ReadEnds(LoadEstimator::Now(), answer.found ? answer.bytes : 0,
                     answer.metrics.storage_latency_us > 0);
}

void StartLookup(std::shared_ptr<Core> core, std::string_view partition,
                 std::span<const Token> tokens, std::span<const hash_t> hashes,
                 const CallOptions& call, LookupDone done) {
  Timing timing;
  const wire::LookupRequestView message{.resource_name = core->options.resource,
                                        .container_name = core->options.container,
                                        .partition_key = partition,
                                        .completion_id = call.completion_id,
                                        .tokens = tokens,
                                        .precomputed_hashes = hashes};
  UnaryRequest request{.method = "Lookup",
                       .message = ToByteBuffer(message),
                       .load = kSmallCallLoad,
                       .deadline = core->DeadlineOf(call),
                       .operation = Fleet::Operation::kLookup,
                       .ids = CallIds::Of(call)};
  if (core->fleet->several()) request.keys.partition = PartitionKey(partition);
  timing.serialize_us = MicrosSince(timing.start);
  StartUnary(core, std::move(request),
             [core, timing, blocks = tokens.size() / kTokensPerBlock,
              done = std::move(done)](absl::StatusOr<grpc::ByteBuffer> response) mutable {
               if (!response.ok()) return std::move(done)(response.status());
               auto answer = DecodeLookup(*core->fleet, *response, blocks, timing);
               if (answer.ok()) {
                 core->estimator.RoundTrip(std::chrono::microseconds(answer->metrics.network_us));
               }
               std::move(done)(std::move(answer));
             });
}

void StartRead(std::shared_ptr<Core> core, std::string_view location, TakeBuffer take,
               const CallOptions& call, ReadDone done) {
  Timing timing;
  const wire::ReadRequest message{core->options.resource, core->options.container,
                                  std::string(location), call.completion_id};
  UnaryRequest request{.method = "Read",
                       .message = ToByteBuffer(wire::Encode(message)),
                       .load = kReadLoad,
                       .deadline = core->DeadlineOf(call),
                       .operation = Fleet::Operation::kRead,
                       .ids = CallIds::Of(call)};
  if (core->fleet->several()) request.keys = KeysOf(location);
  timing.serialize_us = MicrosSince(timing.start);
  core->estimator.ReadsBegin(LoadEstimator::Now());
  auto decode = [core, timing, take = std::move(take),
                 done = std::move(done)](absl::StatusOr<grpc::ByteBuffer> response) mutable {
    BlockAnswer answer;
    if (response.ok()) {
      answer = DecodeRead(*response, 0, take, timing);
    } else {
      answer.status = response.status();
    }
    CountRead(core->estimator, answer);
    std::move(done)(std::move(answer));
  };
  const bool hedged = core->options.hedge_reads && core->fleet->several();
  (hedged ? StartHedged : StartUnary)(std::move(core), std::move(request), std::move(decode));
}

absl::Status CheckBuffer(std::span<const std::byte> buffer) {
  if (buffer.empty()) return absl::InvalidArgumentError("the buffer is empty");
  if (buffer.size() > kMaxBufferBytes) {
    return absl::InvalidArgumentError("the buffer has " + std::to_string(buffer.size()) +
                                      " bytes, at most " + std::to_string(kMaxBufferBytes));
  }
  return absl::OkStatus();
}

void StartWrite(std::shared_ptr<Core> core, const BlockToWrite& block,
                std::shared_ptr<const void> owner, Clock::time_point deadline, CallIds ids,
                WriteDone done) {
  Timing timing;
  if (absl::Status bad = CheckBuffer(block.buffer); !bad.ok()) return std::move(done)(bad);
  wire::Chunk chunk;
  chunk.hash = block.hash;
  chunk.partition_key = std::string(block.partition);
  chunk.parent_hash = block.parent_hash;
  chunk.tokens.assign(block.tokens.begin(), block.tokens.end());
  chunk.completion_id = std::string(block.completion_id);
  chunk.prefix_digest = block.prefix_digest;
  const wire::Frame frame = wire::FrameWriteRequest(core->options.resource, core->options.container,
                                                    chunk, block.buffer.size());

  const Fleet& fleet = *core->fleet;
  std::span<const std::byte> buffer = block.buffer;
  if (owner == nullptr && fleet.several()) {
    // A call that leaves a server which hangs must not wait for its connection to let go of the
    // caller's memory.
    auto copy = std::make_shared<Buffer>(Buffer::Allocate(buffer.size()));
    std::memcpy(copy->data(), buffer.data(), buffer.size());
    buffer = {copy->data(), buffer.size()};
    owner = std::move(copy);
  }
  const bool wait = owner == nullptr;
  auto completion = std::make_shared<WriteCompletion>(std::move(done), wait);
  absl::AnyInvocable<void() &&> released;
  if (wait) {
    released = [completion] { WriteCompletion::Released(completion); };
  } else {
    released = [owner = std::move(owner)] {};
  }
  UnaryRequest request{.method = "Write",
                       .message = ToByteBuffer(frame, buffer, std::move(released)),
                       .load = kSmallCallLoad + static_cast<int64_t>(block.buffer.size()),
                       .deadline = deadline,
                       .operation = Fleet::Operation::kWrite,
                       .ids = std::move(ids)};
  if (fleet.several()) request.keys = KeysOf(block);
  timing.serialize_us = MicrosSince(timing.start);
  StartUnary(
      std::move(core), std::move(request),
      [timing, completion = std::move(completion)](absl::StatusOr<grpc::ByteBuffer> response) {
        if (!response.ok()) return completion->Answered(response.status());
        completion->Answered(DecodeWrite(*response, timing));
      });
}

}  // namespace kvstore::client
