#include "KVPlayground/stats.h"

#include <algorithm>
#include <utility>

namespace kvstore::playground {

void OperationStats::AddSuccess(const ServerMetrics& metrics) {
  ++count;
  end_to_end.Add(metrics.client_e2e_us);
  server.Add(metrics.total_latency_us);
  network.Add(metrics.network_us);
}

void OperationStats::AddErrors(uint64_t number) {
  count += number;
  errors += number;
}

void OperationStats::Merge(const OperationStats& other) {
  count += other.count;
  errors += other.errors;
  end_to_end.Merge(other.end_to_end);
  server.Merge(other.server);
  network.Merge(other.network);
}

void IterationStats::Merge(const IterationStats& other) {
  requests += other.requests;
  blocks += other.blocks;
  found += other.found;
}

double HitRatio(const IterationStats& stats) {
  if (stats.blocks == 0) return 0;
  return static_cast<double>(stats.found) / static_cast<double>(stats.blocks);
}

double PerSecond(double amount, double seconds) { return seconds > 0 ? amount / seconds : 0; }

void RunStats::Merge(const RunStats& other) {
  lookup.Merge(other.lookup);
  read.Merge(other.read);
  write.Merge(other.write);
  if (iterations.size() < other.iterations.size()) iterations.resize(other.iterations.size());
  for (size_t i = 0; i < other.iterations.size(); ++i) iterations[i].Merge(other.iterations[i]);
  series.Merge(other.series);
  tokens += other.tokens;
  failed_requests += other.failed_requests;
  blocks_validated += other.blocks_validated;
  lost_blocks += other.lost_blocks;
  read_bytes += other.read_bytes;
  written_bytes += other.written_bytes;
  longest_call_us = std::max(longest_call_us, other.longest_call_us);
}

IterationStats RunStats::Total() const {
  IterationStats total;
  for (const IterationStats& one : iterations) total.Merge(one);
  return total;
}

void BusyClock::Enter() {
  std::lock_guard lock(mu_);
  if (inside_++ == 0) since_ = Clock::now();
}

void BusyClock::Leave() {
  std::lock_guard lock(mu_);
  if (--inside_ == 0) total_ += Clock::now() - since_;
}

double BusyClock::Seconds() const {
  std::lock_guard lock(mu_);
  return std::chrono::duration<double>(total_).count();
}

void Findings::Add(std::string what) {
  std::lock_guard lock(mu_);
  ++count_;
  if (first_.size() < kKept) first_.push_back(std::move(what));
}

uint64_t Findings::count() const {
  std::lock_guard lock(mu_);
  return count_;
}

std::vector<std::string> Findings::first() const {
  std::lock_guard lock(mu_);
  return first_;
}

}  // namespace kvstore::playground
