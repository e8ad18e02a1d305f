// Replays a trace: requests start in the trace's order, several at a time.
#ifndef KVPLAYGROUND_TRACE_PLAYER_H_
#define KVPLAYGROUND_TRACE_PLAYER_H_

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "KVPlayground/player.h"
#include "KVPlayground/prefix_ledger.h"
#include "KVPlayground/trace_file.h"
#include "absl/container/flat_hash_set.h"

namespace kvstore::playground {

struct TraceOptions {
  PlayerOptions player;
  size_t block_tokens = 512;  // of a trace block
  size_t iterations = 1;      // times the trace is played
  size_t concurrency = 1;     // requests at a time
  double speed = 0;           // 0: as fast as possible; X: X times as fast as recorded
  // Everything is there already: no request waits for another, an endless cache would hit all.
  bool stored = false;
};

// Lets requests begin in order, and holds each back until the one that computes what it would hit
// has ended. So a store that loses nothing gives exactly the hits of an endless cache, however many
// requests run at a time. Thread-safe.
class RequestOrder {
 public:
  // Blocks until requests 0 … request-1 were admitted and the one that owns this one's last seen
  // block has ended. Each number exactly once; each admitted request must reach Finish.
  void Admit(uint64_t request, std::span<const Digest> digests);
  void Finish(uint64_t request);

  double IdealHitRatio() const;

 private:
  mutable std::mutex mu_;
  std::condition_variable changed_;
  uint64_t admitted_ = 0;                    // guarded by mu_
  absl::flat_hash_set<uint64_t> in_flight_;  // guarded by mu_
  PrefixLedger ledger_;                      // guarded by mu_
};

class TracePlayer {
 public:
  // All must outlive the player. REQUIRES: a trace with requests.
  TracePlayer(Store* store, const Trace& trace, TraceOptions options, Shared* shared);

  // Plays it all, or until shared->stop; blocks.
  RunStats Run();

  double IdealHitRatio() const { return options_.stored ? 1 : order_.IdealHitRatio(); }
  // How far a request's start fell behind its timestamp at most; 0 without a speed.
  std::chrono::milliseconds WorstLag() const { return std::chrono::milliseconds(worst_lag_ms_); }

 private:
  void Work(RunStats* stats);
  void WaitForTimestamp(const TraceRequest& request, size_t iteration);

  Store* const store_;
  const Trace& trace_;
  const TraceOptions options_;
  Shared* const shared_;
  RequestOrder order_;
  std::atomic<uint64_t> next_{0};
  std::atomic<int64_t> worst_lag_ms_{0};
  std::chrono::steady_clock::time_point start_;
};

}  // namespace kvstore::playground

#endif  // KVPLAYGROUND_TRACE_PLAYER_H_
