#include "KVPlayground/runs.h"

#include <algorithm>
#include <utility>

#include "KVPlayground/conversation_player.h"
#include "KVPlayground/trace_player.h"

namespace kvstore::playground {
namespace {

using Clock = std::chrono::steady_clock;

// How one run differs from what the options say.
struct Step {
  size_t concurrency = 1;
  size_t iterations = 1;
  bool stored = false;
};

// Once to store everything, and once to read it.
constexpr size_t kFillIterations = 2;

std::vector<Step> StepsOf(const Options& options) {
  if (options.sweep.empty()) return {{options.concurrency, options.iterations, false}};
  // One worker stores conversations: several would write the same blocks. A trace's requests wait
  // for those whose blocks they share.
  const size_t fill = options.trace_file.empty() ? 1 : options.sweep.back();
  std::vector<Step> steps = {{fill, kFillIterations, false}};
  for (const size_t concurrency : options.sweep) {
    steps.push_back({concurrency, options.iterations, true});
  }
  return steps;
}

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

PlayerOptions PlayerOptionsOf(const Options& options) {
  const size_t workers = options.sweep.empty() ? options.concurrency : options.sweep.back();
  return {options.partition, options.buffer_bytes, WindowBlocks(options.buffer_bytes, workers),
          Timeout(options)};
}

Run PlayStep(Store* store, const Input& input, const Options& options, const Step& step,
             Shared& shared) {
  const PlayerOptions player = PlayerOptionsOf(options);
  Run run;
  run.concurrency = step.concurrency;
  run.start_seconds = SecondsSince(shared.start);
  const double read_before = shared.reading.Seconds();
  const double written_before = shared.writing.Seconds();
  const auto start = Clock::now();
  if (options.trace_file.empty()) {
    const bool shared_partition = options.shared_partition || !options.sweep.empty();
    ConversationResult result = PlayConversations(
        store, input.prompts,
        {player, step.iterations, step.concurrency, shared_partition, step.stored}, &shared);
    run.stats = std::move(result.stats);
    run.ideal_hit_ratio = result.ideal_hit_ratio;
  } else {
    TracePlayer trace_player(store, input.trace,
                             {player, options.trace_block_tokens, step.iterations, step.concurrency,
                              options.speed, step.stored},
                             &shared);
    run.stats = trace_player.Run();
    run.ideal_hit_ratio = trace_player.IdealHitRatio();
    run.worst_lag_ms = trace_player.WorstLag().count();
  }
  run.elapsed_seconds = SecondsSince(start);
  run.read_seconds = shared.reading.Seconds() - read_before;
  run.write_seconds = shared.writing.Seconds() - written_before;
  return run;
}

// All steps as one.
Run Together(const std::vector<Run>& steps) {
  Run all;
  double ideal_found = 0;
  for (const Run& step : steps) {
    all.concurrency = std::max(all.concurrency, step.concurrency);
    all.stats.Merge(step.stats);
    all.elapsed_seconds = step.start_seconds + step.elapsed_seconds;
    all.read_seconds += step.read_seconds;
    all.write_seconds += step.write_seconds;
    ideal_found += step.ideal_hit_ratio * static_cast<double>(step.stats.Total().blocks);
  }
  const uint64_t blocks = all.stats.Total().blocks;
  if (blocks > 0) all.ideal_hit_ratio = ideal_found / static_cast<double>(blocks);
  return all;
}

}  // namespace

std::chrono::milliseconds Timeout(const Options& options) {
  return std::chrono::milliseconds(
      std::max<int64_t>(1, static_cast<int64_t>(options.timeout_seconds * 1000)));
}

uint64_t RequestsToPlay(const Options& options, const Input& input) {
  uint64_t total = 0;
  for (const Step& step : StepsOf(options)) {
    const size_t workers = options.trace_file.empty() ? step.concurrency : 1;
    total += uint64_t{input.requests()} * step.iterations * workers;
  }
  return total;
}

void Play(Store* store, const Input& input, Shared& shared, Report& report) {
  std::vector<Run> runs;
  for (const Step& step : StepsOf(report.options)) {
    if (shared.stop) break;
    runs.push_back(PlayStep(store, input, report.options, step, shared));
  }
  if (report.options.sweep.empty()) {
    report.run = std::move(runs.front());
    return;
  }
  report.run = Together(runs);
  report.sweep = std::move(runs);
}

}  // namespace kvstore::playground
