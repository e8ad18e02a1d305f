// The operations of the service as functions over a Core: what both public classes are made of.
#ifndef KVCLIENT_SRC_OPERATIONS_H_
#define KVCLIENT_SRC_OPERATIONS_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "KVClient/include/kvstore/client.h"
#include "KVClient/src/answers.h"
#include "KVClient/src/call_ids.h"
#include "KVClient/src/core.h"
#include "KVCommon/digest.h"
#include "absl/functional/any_invocable.h"

namespace kvstore::client {

using LookupDone = absl::AnyInvocable<void(absl::StatusOr<LookupAnswer>) &&>;
using ReadDone = absl::AnyInvocable<void(BlockAnswer) &&>;
using WriteDone = absl::AnyInvocable<void(absl::StatusOr<::ServerMetrics>) &&>;
using OnBlock = std::function<void(size_t index, BlockAnswer)>;

void StartLookup(std::shared_ptr<Core> core, std::string_view partition,
                 std::span<const Token> tokens, std::span<const hash_t> hashes,
                 const CallOptions& call, LookupDone done);

void StartRead(std::shared_ptr<Core> core, std::string_view location, TakeBuffer take,
               const CallOptions& call, ReadDone done);

// Tells the estimator of a read that has ended, once for each that began.
void CountRead(LoadEstimator& estimator, const BlockAnswer& answer);

void StartStreamingRead(std::shared_ptr<Core> core, std::vector<std::string> locations,
                        TakeBuffer take, const CallOptions& call, OnBlock on_block,
                        absl::AnyInvocable<void() &&> done);

struct BlockToWrite {
  hash_t hash = 0;
  hash_t parent_hash = 0;
  std::string_view partition;
  std::string_view completion_id;
  std::span<const Token> tokens;
  std::optional<Digest> prefix_digest;
  std::span<const std::byte> buffer;
};

// Reads `block` before it returns, except for the buffer. With an `owner` that keeps the buffer
// alive, `done` runs as soon as the result is known; without, once gRPC holds no reference to the
// buffer either, so that the caller may reuse it: after a deadline that can take until the broken
// connection is given up. INVALID_ARGUMENT for the buffer's size is given before this returns.
void StartWrite(std::shared_ptr<Core> core, const BlockToWrite& block,
                std::shared_ptr<const void> owner, Clock::time_point deadline, CallIds ids,
                WriteDone done);

// OK where a buffer may be sent.
absl::Status CheckBuffer(std::span<const std::byte> buffer);

// The hash that WritePrompt gives a block.
hash_t HashOf(const Digest& prefix_digest);

void StartWritePrompt(std::shared_ptr<Core> core, std::string_view partition,
                      std::span<const Token> tokens, size_t first_block,
                      std::vector<std::span<const std::byte>> buffers, const CallOptions& call,
                      absl::AnyInvocable<void(absl::StatusOr<WriteAnswer>) &&> done);

}  // namespace kvstore::client

#endif  // KVCLIENT_SRC_OPERATIONS_H_
