// What a run counts: per operation, per iteration, and the first things that went wrong.
#ifndef KVPLAYGROUND_STATS_H_
#define KVPLAYGROUND_STATS_H_

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "KVPlayground/histogram.h"
#include "KVPlayground/series.h"
#include "KVTypes.h"

namespace kvstore::playground {

// Latencies in microseconds, of the calls that succeeded.
struct OperationStats {
  uint64_t count = 0;   // attempted
  uint64_t errors = 0;  // of them, failed
  Histogram end_to_end;
  Histogram server;
  Histogram network;

  void AddSuccess(const ServerMetrics& metrics);
  void AddErrors(uint64_t number);
  void Merge(const OperationStats& other);
};

struct IterationStats {
  uint64_t requests = 0;
  uint64_t blocks = 0;  // full blocks looked up
  uint64_t found = 0;   // of them, found by the lookup and delivered by the read

  void Merge(const IterationStats& other);
};

// found / blocks; 0 without blocks.
double HitRatio(const IterationStats& stats);

// 0 where no time has passed.
double PerSecond(double amount, double seconds);

// One worker's, or all workers' once merged. Not thread-safe.
struct RunStats {
  OperationStats lookup;  // one a call
  OperationStats read;    // one a block
  OperationStats write;   // one a block
  std::vector<IterationStats> iterations;
  Series series;        // since Shared::start
  uint64_t tokens = 0;  // of the prompts played
  uint64_t failed_requests = 0;
  uint64_t blocks_validated = 0;
  uint64_t lost_blocks = 0;  // found by a lookup, gone when read
  uint64_t read_bytes = 0;
  uint64_t written_bytes = 0;
  int64_t longest_call_us = 0;  // to the store, of any kind, whatever came of it

  explicit RunStats(size_t iteration_count) : iterations(iteration_count) {}
  void Merge(const RunStats& other);
  IterationStats Total() const;
};

// How long at least one of many threads was at something. Thread-safe.
class BusyClock {
 public:
  using Clock = std::chrono::steady_clock;

  void Enter();
  void Leave();
  double Seconds() const;  // of the spans that have ended

 private:
  mutable std::mutex mu_;
  int inside_ = 0;           // guarded by mu_
  Clock::time_point since_;  // guarded by mu_
  Clock::duration total_{};  // guarded by mu_
};

// In this scope the clock's thread is busy.
class BusyScope {
 public:
  explicit BusyScope(BusyClock* clock) : clock_(clock) { clock_->Enter(); }
  ~BusyScope() { clock_->Leave(); }
  BusyScope(const BusyScope&) = delete;
  BusyScope& operator=(const BusyScope&) = delete;

 private:
  BusyClock* clock_;
};

// Counts all of one kind and keeps the first few in words. Thread-safe.
class Findings {
 public:
  static constexpr size_t kKept = 5;

  void Add(std::string what);
  uint64_t count() const;
  std::vector<std::string> first() const;

 private:
  mutable std::mutex mu_;
  uint64_t count_ = 0;              // guarded by mu_
  std::vector<std::string> first_;  // guarded by mu_
};

}  // namespace kvstore::playground

#endif  // KVPLAYGROUND_STATS_H_
