#include "KVPlayground/trace_player.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <thread>
#include <utility>

namespace kvstore::playground {

void RequestOrder::Admit(uint64_t request, std::span<const Digest> digests) {
  std::unique_lock lock(mu_);
  changed_.wait(lock, [&] { return admitted_ == request; });
  const PrefixLedger::Admission admission = ledger_.Admit(request, digests);
  in_flight_.insert(request);
  ++admitted_;
  changed_.notify_all();
  // Waits only for earlier requests, so nobody waits in a circle. The owner of the last block has
  // itself waited for the owners of those before it.
  if (admission.owner && *admission.owner != request) {
    changed_.wait(lock, [&] { return !in_flight_.contains(*admission.owner); });
  }
}

void RequestOrder::Finish(uint64_t request) {
  std::lock_guard lock(mu_);
  in_flight_.erase(request);
  changed_.notify_all();
}

double RequestOrder::IdealHitRatio() const {
  std::lock_guard lock(mu_);
  return ledger_.IdealHitRatio();
}

TracePlayer::TracePlayer(Store* store, const Trace& trace, TraceOptions options, Shared* shared)
    : store_(store), trace_(trace), options_(std::move(options)), shared_(shared) {}

RunStats TracePlayer::Run() {
  start_ = std::chrono::steady_clock::now();
  std::vector<RunStats> stats(options_.concurrency, RunStats(options_.iterations));
  std::vector<std::thread> threads;
  threads.reserve(stats.size());
  for (RunStats& own : stats) threads.emplace_back([this, &own] { Work(&own); });
  for (std::thread& thread : threads) thread.join();
  RunStats total(options_.iterations);
  for (const RunStats& own : stats) total.Merge(own);
  return total;
}

void TracePlayer::Work(RunStats* stats) {
  Player player(store_, options_.player, shared_, stats);
  std::vector<Token> tokens;
  const uint64_t requests = trace_.requests.size();
  while (!shared_->stop) {
    const uint64_t number = next_++;
    if (number >= requests * options_.iterations) return;
    const TraceRequest& request = trace_.requests[number % requests];
    const size_t iteration = number / requests;
    ExpandTokens(trace_, request, options_.block_tokens, &tokens);
    const std::vector<Digest> digests = PrefixDigests(tokens);
    WaitForTimestamp(request, iteration);
    // Whoever took a number passes through, stopped or not: later ones wait for it.
    if (!options_.stored) order_.Admit(number, digests);
    if (!shared_->stop) {
      player.Play({tokens, digests, fmt::format("line {}", request.line), iteration});
    }
    if (!options_.stored) order_.Finish(number);
  }
}

void TracePlayer::WaitForTimestamp(const TraceRequest& request, size_t iteration) {
  if (options_.speed <= 0) return;
  const int64_t first = trace_.requests.front().timestamp_ms;
  const int64_t last = trace_.requests.back().timestamp_ms;
  const auto offset = static_cast<double>(request.timestamp_ms - first) +
                      static_cast<double>(iteration) * static_cast<double>(last - first);
  const auto due = start_ + std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                                std::chrono::duration<double, std::milli>(offset / options_.speed));
  // In steps, so that a run that gives up need not sleep its last request out.
  while (!shared_->stop && std::chrono::steady_clock::now() < due) {
    const auto step = std::chrono::steady_clock::now() + std::chrono::milliseconds(200);
    std::this_thread::sleep_until(std::min(due, step));
  }
  const auto lag =
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - due)
          .count();
  int64_t worst = worst_lag_ms_;
  while (lag > worst && !worst_lag_ms_.compare_exchange_weak(worst, lag)) {
  }
}

}  // namespace kvstore::playground
