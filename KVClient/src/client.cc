// The public class: blocking forms, and the asynchronous ones handed on.
#include "KVClient/include/kvstore/client.h"

#include <algorithm>
#include <utility>

#include "KVClient/src/core.h"
#include "KVClient/src/operations.h"
#include "KVCommon/digest.h"
#include "KVCommon/status_macros.h"
#include "absl/synchronization/notification.h"

namespace kvstore {
namespace {

// Makes an asynchronous call and waits for it. Every call has a deadline, so this ends.
template <typename Result, typename Start>
Result Await(Start start) {
  absl::Notification ended;
  Result result{};
  start([&](Result value) {
    result = std::move(value);
    ended.Notify();
  });
  ended.WaitForNotification();
  return result;
}

}  // namespace

size_t ArrivedPrefix(std::span<const BlockAnswer> blocks) {
  size_t arrived = 0;
  while (arrived < blocks.size() && blocks[arrived].status.ok() && blocks[arrived].found) {
    ++arrived;
  }
  return arrived;
}

class Client::Impl {
 public:
  explicit Impl(std::shared_ptr<client::Core> its_core) : core(std::move(its_core)) {}
  const std::shared_ptr<client::Core> core;
};

absl::StatusOr<std::shared_ptr<Client>> Client::Create(ClientOptions options) {
  KV_ASSIGN_OR_RETURN(auto core, client::Core::Create(std::move(options)));
  return std::shared_ptr<Client>(new Client(std::make_shared<Impl>(std::move(core))));
}

Client::Client(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::~Client() = default;

void Client::LookupAsync(std::string_view partition, std::span<const Token> tokens,
                         std::span<const hash_t> hashes, const CallOptions& call,
                         absl::AnyInvocable<void(absl::StatusOr<LookupAnswer>) &&> done) {
  client::StartLookup(impl_->core, partition, tokens, hashes, call, std::move(done));
}

absl::StatusOr<LookupAnswer> Client::Lookup(std::string_view partition,
                                            std::span<const Token> tokens,
                                            std::span<const hash_t> hashes,
                                            const CallOptions& call) {
  return Await<absl::StatusOr<LookupAnswer>>(
      [&](auto done) { LookupAsync(partition, tokens, hashes, call, std::move(done)); });
}

void Client::ReadAsync(std::string_view location, PlaceBuffer place, const CallOptions& call,
                       absl::AnyInvocable<void(BlockAnswer) &&> done) {
  client::StartRead(impl_->core, location, client::CopyTo(std::move(place)), call, std::move(done));
}

BlockAnswer Client::Read(std::string_view location, std::span<std::byte> memory,
                         const CallOptions& call) {
  return Await<BlockAnswer>([&](auto done) {
    ReadAsync(
        location, [memory](size_t, size_t) { return memory; }, call, std::move(done));
  });
}

void Client::StreamingReadAsync(std::vector<std::string> locations, PlaceBuffer place,
                                const CallOptions& call,
                                std::function<void(size_t index, BlockAnswer)> on_block,
                                absl::AnyInvocable<void() &&> done) {
  client::StartStreamingRead(impl_->core, std::move(locations), client::CopyTo(std::move(place)),
                             call, std::move(on_block), std::move(done));
}

std::vector<BlockAnswer> Client::StreamingRead(std::span<const std::string> locations,
                                               std::span<const std::span<std::byte>> memory,
                                               const CallOptions& call) {
  std::vector<BlockAnswer> answers(locations.size());
  if (memory.size() != locations.size()) {
    const absl::Status bad =
        absl::InvalidArgumentError(std::to_string(locations.size()) + " locations, memory for " +
                                   std::to_string(memory.size()));
    for (BlockAnswer& answer : answers) answer.status = bad;
    return answers;
  }
  absl::Notification ended;
  StreamingReadAsync(
      {locations.begin(), locations.end()},
      [memory](size_t index, size_t) { return memory[index]; }, call,
      [&](size_t index, BlockAnswer answer) { answers[index] = std::move(answer); },
      [&] { ended.Notify(); });
  ended.WaitForNotification();
  return answers;
}

std::optional<std::chrono::microseconds> Client::EstimateLoad(
    std::span<const ::BlockLocation> blocks) const {
  uint64_t in_ram = 0, below = 0;
  for (const ::BlockLocation& block : blocks) {
    if (block.size == 0) return std::nullopt;
    (block.tier == BlockTier::Disk || block.tier == BlockTier::Remote ? below : in_ram) +=
        block.size;
  }
  return impl_->core->estimator.Estimate(in_ram, below);
}

void Client::WriteAsync(const ::PromptChunk& chunk, std::span<const std::byte> buffer,
                        const CallOptions& call,
                        absl::AnyInvocable<void(absl::StatusOr<::ServerMetrics>) &&> done) {
  const client::BlockToWrite block{
      .hash = chunk.hash,
      .parent_hash = chunk.parentHash,
      .partition = chunk.partitionKey,
      .completion_id = call.completion_id.empty() ? chunk.completionId : call.completion_id,
      .tokens = chunk.tokens,
      .buffer = buffer};
  client::StartWrite(impl_->core, block, nullptr, impl_->core->DeadlineOf(call),
                     client::CallIds::Of(call), std::move(done));
}

void Client::WritePromptAsync(std::string_view partition, std::span<const Token> tokens,
                              size_t first_block, std::vector<std::span<const std::byte>> buffers,
                              const CallOptions& call,
                              absl::AnyInvocable<void(absl::StatusOr<WriteAnswer>) &&> done) {
  client::StartWritePrompt(impl_->core, partition, tokens, first_block, std::move(buffers), call,
                           std::move(done));
}

absl::StatusOr<WriteAnswer> Client::WritePrompt(std::string_view partition,
                                                std::span<const Token> tokens, size_t first_block,
                                                std::span<const std::span<const std::byte>> buffers,
                                                const CallOptions& call) {
  return Await<absl::StatusOr<WriteAnswer>>([&](auto done) {
    WritePromptAsync(partition, tokens, first_block, {buffers.begin(), buffers.end()}, call,
                     std::move(done));
  });
}

ClientStats Client::stats() const { return impl_->core->fleet->stats(); }

std::vector<hash_t> Client::BlockHashes(std::span<const Token> tokens) {
  std::vector<hash_t> hashes;
  for (const Digest& digest : PrefixDigests(tokens)) hashes.push_back(client::HashOf(digest));
  return hashes;
}

}  // namespace kvstore
