// The compatible class: futures and vectors over the operations.
#include "KVClient/include/AzureStorageKVStoreLibV2.h"

#include <algorithm>
#include <span>
#include <utility>

#include "KVClient/src/call_ids.h"
#include "KVClient/src/core.h"
#include "KVClient/src/logger.h"
#include "KVClient/src/operations.h"
#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"

namespace {

using kvstore::BlockAnswer;
using kvstore::client::CallIds;
using kvstore::client::Core;
using kvstore::client::Logger;
using kvstore::client::WithThreadTrace;
using kvstore::wire::Extent;
using kvstore::wire::Pieces;
using ReadResult = std::pair<bool, PromptChunk>;

std::string Text(const absl::Status& status) { return status.ToString(); }

// The chunk that a read filled, or {false, {}}; logs why.
ReadResult ToResult(const Logger& logger, const std::string& location, BlockAnswer answer,
                    PromptChunk chunk) {
  if (!answer.status.ok() || !answer.found) {
    if (!answer.status.ok()) {
      logger.Log(LogLevel::Error, "reading " + location + ": " + Text(answer.status));
    } else if (logger.Wants(LogLevel::Verbose)) {
      logger.Log(LogLevel::Verbose, "reading " + location + ": not there any more");
    }
    return {false, PromptChunk{}};
  }
  chunk.hash = answer.hash;
  chunk.partitionKey = std::move(answer.partition);
  chunk.parentHash = answer.parent_hash;
  chunk.bufferSize = chunk.buffer.size();
  chunk.tokens = std::move(answer.tokens);
  chunk.completionId = std::move(answer.completion_id);
  return {true, std::move(chunk)};
}

// The chunk's buffer from what arrived. To resize it first would write all of it twice.
absl::Status Take(PromptChunk& chunk, Pieces message, Extent buffer) {
  chunk.buffer.clear();
  chunk.buffer.reserve(buffer.size);
  size_t skip = buffer.offset;
  for (kvstore::ByteView piece : message) {
    const size_t skipped = std::min(skip, piece.size());
    skip -= skipped;
    piece = piece.subspan(skipped);
    piece = piece.first(std::min(piece.size(), buffer.size - chunk.buffer.size()));
    const auto* const bytes = reinterpret_cast<const uint8_t*>(piece.data());
    chunk.buffer.insert(chunk.buffer.end(), bytes, bytes + piece.size());
  }
  return absl::OkStatus();
}

}  // namespace

struct AzureStorageKVStoreLibV2::State {
  const std::shared_ptr<Logger> logger = std::make_shared<Logger>();

  void Set(std::shared_ptr<Core> core) {
    absl::MutexLock lock(&mutex_);
    core_ = std::move(core);
  }

  // Null before Initialize, which is logged.
  std::shared_ptr<Core> Get(const char* method) const {
    {
      absl::MutexLock lock(&mutex_);
      if (core_ != nullptr) return core_;
    }
    logger->Log(LogLevel::Error, std::string(method) + ": Initialize has not been called");
    return nullptr;
  }

 private:
  mutable absl::Mutex mutex_;
  std::shared_ptr<Core> core_ ABSL_GUARDED_BY(mutex_);
};

AzureStorageKVStoreLibV2::AzureStorageKVStoreLibV2() : state_(std::make_shared<State>()) {}
AzureStorageKVStoreLibV2::~AzureStorageKVStoreLibV2() = default;

bool AzureStorageKVStoreLibV2::Initialize(const std::string& accountUrl,
                                          const std::string& container, HttpTransportProtocol, bool,
                                          bool) {
  kvstore::ClientOptions options;
  options.resource = accountUrl;
  options.container = container;
  // Calls in flight may outlive this object: they hold the logger, never the object.
  options.log = [logger = state_->logger](LogLevel level, const std::string& message) {
    logger->Log(level, message);
  };
  auto core = Core::Create(std::move(options));
  if (!core.ok()) {
    state_->logger->Log(LogLevel::Error, "Initialize: " + Text(core.status()));
    return false;
  }
  state_->Set(*std::move(core));
  return true;
}

void AzureStorageKVStoreLibV2::SetLogCallback(LogCallback callback) {
  state_->logger->SetCallback(std::move(callback));
}

void AzureStorageKVStoreLibV2::SetLogLevel(LogLevel level) { state_->logger->SetLevel(level); }

void AzureStorageKVStoreLibV2::SetThreadTrace(const std::string& traceparent,
                                              const std::string& requestId,
                                              const std::string& tracestate) {
  kvstore::client::SetThreadTrace(traceparent, requestId, tracestate);
}

LookupResult AzureStorageKVStoreLibV2::LookupTokens(const std::string& partition,
                                                    const std::string& completionId,
                                                    const std::vector<Token>& tokens,
                                                    const std::vector<hash_t>& hashes) const {
  LookupResult result;
  const std::shared_ptr<Core> core = state_->Get("Lookup");
  if (core == nullptr) return result;
  absl::Notification ended;
  StartLookup(core, partition, tokens, hashes, WithThreadTrace({.completion_id = completionId}),
              [&](absl::StatusOr<kvstore::LookupAnswer> answer) {
                if (answer.ok()) {
                  result.cachedBlocks = answer->cached_blocks;
                  result.lastHash = answer->last_hash;
                  result.locations = std::move(answer->locations);
                  result.server_metrics = answer->metrics;
                } else {
                  state_->logger->Log(LogLevel::Error, "Lookup: " + Text(answer.status()));
                }
                ended.Notify();
              });
  ended.WaitForNotification();
  return result;
}

std::future<ReadResult> AzureStorageKVStoreLibV2::ReadAsync(const std::string& location,
                                                            const std::string& completionId) const {
  std::promise<ReadResult> promise;
  std::future<ReadResult> future = promise.get_future();
  const std::shared_ptr<Core> core = state_->Get("ReadAsync");
  if (core == nullptr) {
    promise.set_value({false, {}});
    return future;
  }
  auto chunk = std::make_shared<PromptChunk>();
  StartRead(
      core, location,
      [chunk](size_t, Pieces message, Extent buffer) { return Take(*chunk, message, buffer); },
      WithThreadTrace({.completion_id = completionId}),
      [chunk, location, logger = state_->logger,
       promise = std::move(promise)](BlockAnswer answer) mutable {
        promise.set_value(ToResult(*logger, location, std::move(answer), std::move(*chunk)));
      });
  return future;
}

std::future<void> AzureStorageKVStoreLibV2::WriteAsync(const PromptChunk& chunk) {
  std::promise<void> promise;
  std::future<void> future = promise.get_future();
  const auto fail = [&](const std::string& why) {
    state_->logger->Log(LogLevel::Error, "WriteAsync: " + why);
    promise.set_exception(std::make_exception_ptr(KVStoreError("WriteAsync: " + why)));
  };
  const std::shared_ptr<Core> core = state_->Get("WriteAsync");
  if (core == nullptr) {
    promise.set_exception(
        std::make_exception_ptr(KVStoreError("WriteAsync: Initialize has not been called")));
    return future;
  }
  if (chunk.bufferSize > chunk.buffer.size()) {
    fail("bufferSize is " + std::to_string(chunk.bufferSize) + ", the buffer has " +
         std::to_string(chunk.buffer.size()) + " bytes");
    return future;
  }
  const size_t size = chunk.bufferSize == 0 ? chunk.buffer.size() : chunk.bufferSize;
  // The caller may drop the chunk at once. The copy lives until gRPC has let go of it.
  auto bytes = std::make_shared<const std::vector<uint8_t>>(chunk.buffer.begin(),
                                                            chunk.buffer.begin() + size);
  const kvstore::client::BlockToWrite block{.hash = chunk.hash,
                                            .parent_hash = chunk.parentHash,
                                            .partition = chunk.partitionKey,
                                            .completion_id = chunk.completionId,
                                            .tokens = chunk.tokens,
                                            .buffer = std::as_bytes(std::span(*bytes))};
  StartWrite(core, block, bytes, core->DeadlineOf({}), CallIds::Of(WithThreadTrace({})),
             [logger = state_->logger,
              promise = std::move(promise)](absl::StatusOr<ServerMetrics> result) mutable {
               if (result.ok()) return promise.set_value();
               const std::string why = "WriteAsync: " + Text(result.status());
               logger->Log(LogLevel::Error, why);
               promise.set_exception(std::make_exception_ptr(KVStoreError(why)));
             });
  return future;
}

std::future<std::vector<ReadResult>> AzureStorageKVStoreLibV2::StreamingReadAsync(
    const std::vector<std::string>& locations, const std::string& completionId) const {
  std::promise<std::vector<ReadResult>> promise;
  std::future<std::vector<ReadResult>> future = promise.get_future();
  auto results = std::make_shared<std::vector<ReadResult>>(locations.size());
  const std::shared_ptr<Core> core = state_->Get("StreamingReadAsync");
  if (core == nullptr) {
    promise.set_value(std::move(*results));
    return future;
  }
  auto names = std::make_shared<const std::vector<std::string>>(locations);
  StartStreamingRead(
      core, locations,
      [results](size_t index, Pieces message, Extent buffer) {
        return Take((*results)[index].second, message, buffer);
      },
      WithThreadTrace({.completion_id = completionId}),
      [results, names, logger = state_->logger](size_t index, BlockAnswer answer) {
        ReadResult& result = (*results)[index];
        result = ToResult(*logger, (*names)[index], std::move(answer), std::move(result.second));
      },
      [results, promise = std::move(promise)]() mutable {
        promise.set_value(std::move(*results));
      });
  return future;
}

std::future<std::vector<ReadResult>> AzureStorageKVStoreLibV2::StreamingReadAsync(
    const std::vector<BlockLocation>& locations, const std::string& completionId) const {
  std::vector<std::string> names;
  names.reserve(locations.size());
  for (const BlockLocation& location : locations) names.push_back(location.location);
  return StreamingReadAsync(names, completionId);
}
