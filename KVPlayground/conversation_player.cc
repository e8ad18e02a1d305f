#include "KVPlayground/conversation_player.h"

#include <spdlog/fmt/fmt.h>

#include <thread>

#include "KVPlayground/prefix_ledger.h"

namespace kvstore::playground {
namespace {

using DigestsOfPrompts = std::vector<std::vector<Digest>>;

void Work(Store* store, const TokenizedPrompts& prompts, const DigestsOfPrompts& digests,
          const ConversationOptions& options, size_t worker, Shared* shared, RunStats* stats) {
  PlayerOptions own = options.player;
  own.partition = PartitionOf(options, worker);
  Player player(store, own, shared, stats);
  const size_t first = options.stored ? worker * prompts.size() / options.concurrency : 0;
  for (size_t iteration = 0; iteration < options.iterations; ++iteration) {
    for (size_t n = 0; n < prompts.size(); ++n) {
      if (shared->stop) return;
      const size_t i = (first + n) % prompts.size();
      player.Play({prompts[i], digests[i], fmt::format("prompts[{}]", i), iteration});
    }
  }
}

double IdealHitRatio(const DigestsOfPrompts& digests, const ConversationOptions& options) {
  PrefixLedger first;
  for (size_t i = 0; i < digests.size(); ++i) first.Admit(i, digests[i]);
  if (first.blocks() == 0) return 0;
  if (options.stored) return 1;
  const auto distinct = static_cast<double>(first.blocks() - first.seen());
  const auto rounds = static_cast<double>(options.iterations) *
                      static_cast<double>(options.shared_partition ? options.concurrency : 1);
  return 1 - distinct / (static_cast<double>(first.blocks()) * rounds);
}

}  // namespace

std::string PartitionOf(const ConversationOptions& options, size_t worker) {
  if (worker == 0 || options.shared_partition) return options.player.partition;
  return fmt::format("{}-{}", options.player.partition, worker);
}

ConversationResult PlayConversations(Store* store, const TokenizedPrompts& prompts,
                                     const ConversationOptions& options, Shared* shared) {
  DigestsOfPrompts digests;
  for (const std::vector<Token>& tokens : prompts) digests.push_back(PrefixDigests(tokens));

  std::vector<RunStats> stats(options.concurrency, RunStats(options.iterations));
  std::vector<std::thread> threads;
  threads.reserve(stats.size());
  for (size_t k = 0; k < options.concurrency; ++k) {
    threads.emplace_back([&, k] { Work(store, prompts, digests, options, k, shared, &stats[k]); });
  }
  for (std::thread& thread : threads) thread.join();

  ConversationResult result{RunStats(options.iterations), IdealHitRatio(digests, options)};
  for (const RunStats& own : stats) result.stats.Merge(own);
  return result;
}

}  // namespace kvstore::playground
