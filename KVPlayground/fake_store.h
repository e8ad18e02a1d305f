// A store in memory for tests, which misbehaves when told to.
#ifndef KVPLAYGROUND_FAKE_STORE_H_
#define KVPLAYGROUND_FAKE_STORE_H_

#include <algorithm>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "KVCommon/digest.h"
#include "KVPlayground/player.h"
#include "KVPlayground/store.h"

namespace kvstore::playground {

// Thread-safe but for its knobs, which are turned before the run.
class FakeStore : public Store {
 public:
  struct Block {
    hash_t hash = 0;
    hash_t parent = 0;
    std::string partition;
    std::vector<std::byte> buffer;
    std::vector<Token> tokens;
  };

  // Knobs. `spoil` may change what a read delivers, `before_read` what is there.
  absl::Status lookup_status;
  absl::Status write_status;
  std::function<void(Block&)> spoil;
  std::function<absl::Status(const Block&)> read_status;
  std::function<bool(const Block&)> lost;  // found by lookups, and gone when read

  absl::StatusOr<LookupAnswer> Lookup(std::string_view partition, std::span<const ::Token> tokens,
                                      const CallOptions&) override {
    std::lock_guard lock(mu_);
    ++lookups_;
    if (!lookup_status.ok()) return lookup_status;
    LookupAnswer answer;
    answer.metrics = Metrics(100);
    for (const Digest& digest : PrefixDigests(tokens)) {
      const std::string name = Name(partition, digest);
      if (!blocks_.contains(name)) break;
      ++answer.cached_blocks;
      answer.last_hash = HashOf(digest);
      answer.locations.push_back({HashOf(digest), name});
    }
    return answer;
  }

  std::vector<BlockAnswer> StreamingRead(std::span<const std::string> locations,
                                         std::span<const std::span<std::byte>> memory,
                                         const CallOptions&) override {
    std::lock_guard lock(mu_);
    ++read_calls_;
    std::vector<BlockAnswer> answers(locations.size());
    for (size_t i = 0; i < locations.size(); ++i) {
      Block block = blocks_.at(locations[i]);
      BlockAnswer& answer = answers[i];
      answer.metrics = Metrics(1000);
      if (read_status) answer.status = read_status(block);
      if (!answer.status.ok()) continue;
      if (lost && lost(block)) continue;
      if (spoil) spoil(block);
      answer.bytes = block.buffer.size();
      if (block.buffer.size() > memory[i].size()) {
        answer.status = absl::OutOfRangeError("too small");
        continue;
      }
      std::ranges::copy(block.buffer, memory[i].begin());
      answer.found = true;
      answer.hash = block.hash;
      answer.parent_hash = block.parent;
      answer.partition = block.partition;
      answer.tokens = block.tokens;
    }
    return answers;
  }

  absl::StatusOr<WriteAnswer> WritePrompt(std::string_view partition,
                                          std::span<const ::Token> tokens, size_t first_block,
                                          std::span<const std::span<const std::byte>> buffers,
                                          const CallOptions&) override {
    std::lock_guard lock(mu_);
    ++write_calls_;
    if (!write_status.ok()) return write_status;
    const std::vector<Digest> digests = PrefixDigests(tokens);
    WriteAnswer answer;
    for (size_t k = 0; k < buffers.size(); ++k) {
      const size_t i = first_block + k;
      Block block;
      block.hash = HashOf(digests.at(i));
      block.parent = i == 0 ? 0 : HashOf(digests[i - 1]);
      block.partition = std::string(partition);
      block.buffer.assign(buffers[k].begin(), buffers[k].end());
      const auto own = tokens.subspan(i * kBlockTokens, kBlockTokens);
      block.tokens.assign(own.begin(), own.end());
      // First writer wins, as in the real one.
      blocks_.try_emplace(Name(partition, digests[i]), std::move(block));
      ++answer.blocks_written;
      answer.metrics.push_back(Metrics(2000));
    }
    return answer;
  }

  size_t size() const { return blocks_.size(); }
  size_t lookups() const { return lookups_; }
  size_t read_calls() const { return read_calls_; }
  size_t write_calls() const { return write_calls_; }
  std::set<std::string> Partitions() const {
    std::set<std::string> names;
    for (const auto& [name, block] : blocks_) names.insert(block.partition);
    return names;
  }
  // Exchanges the buffers of the first two blocks.
  void SwapTwoBuffers() {
    std::swap(blocks_.begin()->second.buffer, std::next(blocks_.begin())->second.buffer);
  }

 private:
  static std::string Name(std::string_view partition, const Digest& digest) {
    return std::string(partition) + "/" + ToHex(digest);
  }
  static ServerMetrics Metrics(int64_t us) {
    ServerMetrics metrics;
    metrics.total_latency_us = us;
    metrics.client_e2e_us = us * 3;
    metrics.network_us = us * 2;
    return metrics;
  }

  std::mutex mu_;
  std::map<std::string, Block> blocks_;  // by location
  size_t lookups_ = 0;
  size_t read_calls_ = 0;
  size_t write_calls_ = 0;
};

}  // namespace kvstore::playground

#endif  // KVPLAYGROUND_FAKE_STORE_H_
