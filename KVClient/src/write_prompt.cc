// WritePrompt: the blocks of a prompt as concurrent Writes, within a window of bytes.
#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "KVClient/src/operations.h"
#include "KVCommon/limits.h"
#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace kvstore::client {
namespace {

using PromptDone = absl::AnyInvocable<void(absl::StatusOr<WriteAnswer>) &&>;
using Buffers = std::vector<std::span<const std::byte>>;

absl::Status Check(size_t tokens, size_t first_block, const Buffers& buffers) {
  const size_t blocks = tokens / kBlockTokens;
  if (first_block > blocks || buffers.size() > blocks - first_block) {
    return absl::InvalidArgumentError(
        std::to_string(buffers.size()) + " buffers from block " + std::to_string(first_block) +
        " on, but the " + std::to_string(tokens) + " tokens make only " + std::to_string(blocks) +
        " full blocks of " + std::to_string(kBlockTokens) +
        "; tokens start at the prompt's first, not at first_block's");
  }
  for (size_t i = 0; i < buffers.size(); ++i) {
    if (absl::Status bad = CheckBuffer(buffers[i]); !bad.ok()) {
      return absl::InvalidArgumentError("block " + std::to_string(first_block + i) + ": " +
                                        std::string(bad.message()));
    }
  }
  return absl::OkStatus();
}

class PromptWriter : public std::enable_shared_from_this<PromptWriter> {
 public:
  PromptWriter(std::shared_ptr<Core> core, std::string_view partition,
               std::span<const Token> tokens, size_t first_block, Buffers buffers,
               const CallOptions& call, PromptDone done)
      : core_(std::move(core)),
        partition_(partition),
        first_block_(first_block),
        buffers_(std::move(buffers)),
        completion_id_(call.completion_id),
        deadline_(core_->DeadlineOf(call)),
        ids_(CallIds::Of(call)),
        digests_(PrefixDigests(tokens)),
        done_(std::move(done)) {
    const auto written = tokens.subspan(first_block * kBlockTokens, buffers_.size() * kBlockTokens);
    tokens_.assign(written.begin(), written.end());
    answer_.metrics.resize(buffers_.size());
    for (const Digest& digest : digests_) answer_.hashes.push_back(HashOf(digest));
    hashes_ = answer_.hashes;
  }

  // Sends what the window allows. A block larger than the window travels alone.
  void SendMore() {
    while (true) {
      size_t index;
      {
        absl::MutexLock lock(&mutex_);
        if (next_ == buffers_.size() || !error_.ok()) return;
        const size_t bytes = buffers_[next_].size();
        if (in_flight_ > 0 && bytes_ + bytes > core_->options.write_window_bytes) return;
        bytes_ += bytes;
        ++in_flight_;
        index = next_++;
      }
      Send(index);
    }
  }

 private:
  void Send(size_t index) {
    const size_t block = first_block_ + index;
    const BlockToWrite write{
        .hash = hashes_[block],
        .parent_hash = block == 0 ? 0 : hashes_[block - 1],
        .partition = partition_,
        .completion_id = completion_id_,
        .tokens = std::span(tokens_).subspan(index * kBlockTokens, kBlockTokens),
        .prefix_digest = digests_[block],
        .buffer = buffers_[index]};
    StartWrite(core_, write, nullptr, deadline_, ids_,
               [self = shared_from_this(), index](absl::StatusOr<::ServerMetrics> result) {
                 self->Written(index, std::move(result));
               });
  }

  void Written(size_t index, absl::StatusOr<::ServerMetrics> result) {
    bool ended;
    {
      absl::MutexLock lock(&mutex_);
      bytes_ -= buffers_[index].size();
      --in_flight_;
      if (result.ok()) {
        ++answer_.blocks_written;
        answer_.metrics[index] = *result;
      } else if (error_.ok() || index < error_index_) {
        error_ =
            absl::Status(result.status().code(), "block " + std::to_string(first_block_ + index) +
                                                     ": " + std::string(result.status().message()));
        error_index_ = index;
      }
      ended = in_flight_ == 0 && (next_ == buffers_.size() || !error_.ok());
    }
    if (ended) return Finish();
    SendMore();
  }

  // After the last block: no other thread comes here any more.
  void Finish() {
    absl::StatusOr<WriteAnswer> result;
    {
      absl::MutexLock lock(&mutex_);
      if (error_.ok()) {
        result = std::move(answer_);
      } else {
        result = error_;
      }
    }
    std::move(done_)(std::move(result));
  }

  const std::shared_ptr<Core> core_;
  const std::string partition_;
  const size_t first_block_;
  const Buffers buffers_;
  const std::string completion_id_;
  const Clock::time_point deadline_;
  const CallIds ids_;
  const std::vector<Digest> digests_;  // of all full blocks of the prompt
  std::vector<hash_t> hashes_;         // likewise; never changes once made
  std::vector<Token> tokens_;          // of the blocks given
  PromptDone done_;

  absl::Mutex mutex_;
  size_t next_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t in_flight_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status error_ ABSL_GUARDED_BY(mutex_);
  size_t error_index_ ABSL_GUARDED_BY(mutex_) = 0;
  WriteAnswer answer_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

hash_t HashOf(const Digest& prefix_digest) {
  hash_t hash = 0;
  for (size_t i = 0; i < sizeof(hash); ++i) hash |= hash_t{prefix_digest[i]} << (8 * i);
  return hash == 0 ? 1 : hash;  // 0 means no hash
}

void StartWritePrompt(std::shared_ptr<Core> core, std::string_view partition,
                      std::span<const Token> tokens, size_t first_block, Buffers buffers,
                      const CallOptions& call, PromptDone done) {
  if (absl::Status bad = Check(tokens.size(), first_block, buffers); !bad.ok()) {
    return std::move(done)(bad);
  }
  if (buffers.empty()) {
    WriteAnswer nothing;
    for (const Digest& digest : PrefixDigests(tokens)) nothing.hashes.push_back(HashOf(digest));
    return std::move(done)(std::move(nothing));
  }
  std::make_shared<PromptWriter>(std::move(core), partition, tokens, first_block,
                                 std::move(buffers), call, std::move(done))
      ->SendMore();
}

}  // namespace kvstore::client
