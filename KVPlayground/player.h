// Plays one request after another as an inference node does: looks up, reads what is there and
// checks every byte, computes what is missing, and writes it.
#ifndef KVPLAYGROUND_PLAYER_H_
#define KVPLAYGROUND_PLAYER_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "KVCommon/digest.h"
#include "KVCommon/slice.h"
#include "KVPlayground/stats.h"
#include "KVPlayground/store.h"

namespace kvstore::playground {

struct PlayerOptions {
  std::string partition;
  size_t buffer_bytes = 0;  // of every block; positive
  // Blocks read, or written, by one call: bounds the memory. Positive.
  size_t window_blocks = 1;
  std::chrono::milliseconds timeout{30'000};  // of each call
};

// The prompt of one request. Everything is borrowed.
struct Prompt {
  std::span<const Token> tokens;
  std::span<const Digest> digests;  // of its full blocks
  std::string name;                 // for messages and the server's log: prompts[3], line 17
  size_t iteration = 0;
};

// What all workers of a run share. Thread-safe.
struct Shared {
  // Of what is counted over time.
  const std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();

  BusyClock reading;
  BusyClock writing;
  Findings mismatches;
  Findings errors;
  std::atomic<bool> stop{false};  // asks the workers to end after the request at hand

  // Requests that failed with none that succeeded between, over all workers. Behind that many, the
  // run stops: a store that is down would cost a timeout for each of the requests left.
  static constexpr int kGiveUpAfter = 20;
  std::atomic<int> failures_in_a_row{0};

  // Called after each request, by the worker that played it; may be empty.
  std::function<void(const Prompt&, size_t found, size_t written)> on_request;
};

// Not thread-safe: one a worker. `store`, `shared` and `stats` must outlive it.
class Player {
 public:
  Player(Store* store, PlayerOptions options, Shared* shared, RunStats* stats);

  // Counts what happens in `stats` and `shared`. False where an operation failed; blocks that could
  // not be read are computed and written all the same. REQUIRES: one digest a full block, and
  // stats->iterations has the prompt's iteration.
  bool Play(const Prompt& prompt);

 private:
  // The locations of the prompt's leading blocks that the store claims to hold.
  std::vector<std::string> LookUp(const Prompt& prompt);
  // Reads the blocks from the first on and appends to `missing_` those that did not arrive.
  void Read(const Prompt& prompt, std::span<const std::string> locations);
  void ReadWindow(const Prompt& prompt, size_t first, std::span<const std::string> locations);
  void TakeAnswer(const Prompt& prompt, size_t block, const BlockAnswer& answer,
                  std::span<const std::byte> buffer);
  // What is wrong with a block that arrived; empty where nothing is.
  std::string Validate(const Prompt& prompt, size_t block, const BlockAnswer& answer,
                       std::span<const std::byte> buffer) const;
  // Writes the blocks of `missing_`, each run of consecutive ones with as few calls as may be.
  void WriteMissing(const Prompt& prompt);
  void WriteWindow(const Prompt& prompt, size_t first, size_t count);

  CallOptions CallFor(const Prompt& prompt) const;
  // What the call gives, which is timed.
  template <typename Call>
  auto Timed(Call call);
  void Fail(const Prompt& prompt, const std::string& what);
  void Mismatch(const Prompt& prompt, const std::string& what);
  std::span<std::byte> Slot(size_t index);
  // Where the present counts.
  Series::Bucket& Now();

  Store* const store_;
  const PlayerOptions options_;
  Shared* const shared_;
  RunStats* const stats_;
  Buffer memory_;  // window_blocks slots, used for reads and writes in turn

  // Of the request at hand, kept to spare allocations.
  std::vector<size_t> missing_;  // blocks to write, ascending
  std::vector<std::span<std::byte>> read_slots_;
  std::vector<std::span<const std::byte>> write_slots_;
  bool failed_ = false;
  size_t found_ = 0;
  size_t written_ = 0;
};

// The hash that the client's batch write gives a block with this prefix digest.
hash_t HashOf(const Digest& prefix_digest);

// Blocks a window for workers that share `kWindowMemory` bytes: at least one.
size_t WindowBlocks(size_t buffer_bytes, size_t workers);
inline constexpr size_t kWindowMemory = size_t{512} << 20;
inline constexpr size_t kLargestWindow = size_t{64} << 20;  // of one worker, in bytes

}  // namespace kvstore::playground

#endif  // KVPLAYGROUND_PLAYER_H_
