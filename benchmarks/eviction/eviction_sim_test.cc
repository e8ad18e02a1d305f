// Policies on cases small enough to be done by hand, and all of them on the trace that is shipped.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <span>
#include <unordered_map>

#include "KVPlayground/trace_file.h"
#include "benchmarks/eviction/simulate.h"
#include "benchmarks/eviction/workloads.h"

namespace kvstore::eviction_sim {
namespace {

Prompts Singles(const std::vector<uint32_t>& ids) {
  Prompts prompts;
  for (const uint32_t id : ids) prompts.requests.push_back({id});
  return prompts;
}

size_t Hits(const Prompts& prompts, std::unique_ptr<Policy> policy) {
  size_t blocks = 0;
  for (const auto& prompt : prompts.requests) blocks += prompt.size();
  return static_cast<size_t>(HitRatio(prompts, *policy) * static_cast<double>(blocks) + 0.5);
}

TEST(EvictionSim, LruKeepsWhatWasUsedLast) {
  EXPECT_EQ(Hits(Singles({1, 2, 1, 3, 1, 2}), MakeLru(2)), 2u);  // 1, 1; 2 went for 3
  EXPECT_EQ(Hits(Singles({1, 2, 3, 1, 2, 3}), MakeLru(2)), 0u);
}

TEST(EvictionSim, LruKeepsTheBeginningOfAPromptThatIsTooLong) {
  EXPECT_EQ(Hits({{{1, 2, 3}, {1, 2, 3}}}, MakeLru(2)), 2u);
}

TEST(EvictionSim, BlocksBehindAGapAreNoHits) {
  EXPECT_EQ(Hits({{{1, 2}, {7, 2}, {1, 2}}}, MakeLru(9)), 2u);
}

TEST(EvictionSim, BeladyGivesUpWhatIsUsedLast) {
  const Prompts loop = Singles({1, 2, 3, 1, 2, 3});
  const auto next = NextUses(loop);
  EXPECT_EQ(next, (std::vector<std::vector<uint32_t>>{
                      {3}, {4}, {5}, {UINT32_MAX}, {UINT32_MAX}, {UINT32_MAX}}));
  EXPECT_EQ(Hits(loop, MakeBelady(2, next, true)), 2u);  // 1 and 2; 3 is not taken in
  const Prompts prompt = {{{1, 2, 3}, {1, 2, 3}}};
  const auto next_of_prompt = NextUses(prompt);
  EXPECT_EQ(Hits(prompt, MakeBelady(2, next_of_prompt, true)), 2u);
  EXPECT_EQ(Hits(prompt, MakeBelady(2, next_of_prompt, false)), 0u);
}

TEST(EvictionSim, S3FifoLetsAScanPass) {
  // 1 and 2 are used three times, which makes them stay in the main queue while ten others pass.
  std::vector<uint32_t> ids = {1, 2, 1, 2, 1, 2};
  for (uint32_t id = 10; id < 20; ++id) ids.push_back(id);
  ids.push_back(1);
  ids.push_back(2);
  EXPECT_EQ(Hits(Singles(ids), MakeS3Fifo(5)), 6u);
  EXPECT_EQ(Hits(Singles(ids), MakeLru(5)), 4u);
}

TEST(EvictionSim, S3FifoTakesBackWhatItGaveUpLately) {
  // Small queue 1, main 9: block 1 is given up for 11 and comes back from the ghosts to the main
  // one.
  std::vector<uint32_t> ids;
  for (uint32_t id = 1; id <= 11; ++id) ids.push_back(id);
  ids.push_back(1);
  for (uint32_t id = 20; id < 28; ++id) ids.push_back(id);
  ids.push_back(1);
  EXPECT_EQ(Hits(Singles(ids), MakeS3Fifo(10)), 1u);
  EXPECT_EQ(Hits(Singles(ids), MakeLru(10)), 1u);
}

TEST(EvictionSim, SplittingCutsEveryBlock) {
  const Prompts split = Split({{{1, 5}}}, 2);
  EXPECT_EQ(split.requests, (std::vector<std::vector<uint32_t>>{{2, 3, 10, 11}}));
}

// What holds for any trace: nobody beats the one who knows the future, nobody the infinite cache.
void ExpectSane(const Prompts& prompts, size_t capacity) {
  const auto next_uses = NextUses(prompts);
  const double best = HitRatio(prompts, *MakeBelady(capacity, next_uses, true));
  EXPECT_LE(best, IdealHitRatio(prompts));
  EXPECT_LE(HitRatio(prompts, *MakeBelady(capacity, next_uses, false)), best);
  for (const auto& policy : {MakeLru(capacity), MakeS3Fifo(capacity), MakeOurs(capacity)}) {
    const double ratio = HitRatio(prompts, *policy);
    EXPECT_GE(ratio, 0);
    EXPECT_LE(ratio, best);
  }
}

TEST(EvictionSim, TheShippedTrace) {
  const auto trace =
      playground::ReadTraceFile(KV_PLAYGROUND_DATA "/small_trace.jsonl", /*block_tokens=*/512, 0);
  ASSERT_TRUE(trace.ok()) << trace.status();
  Prompts prompts;
  for (const auto& request : trace->requests) {
    std::vector<uint32_t>& prompt = prompts.requests.emplace_back();
    for (const uint64_t id : trace->IdsOf(request)) prompt.push_back(static_cast<uint32_t>(id));
  }
  EXPECT_GT(IdealHitRatio(prompts), 0);
  for (const size_t capacity : {1, 10, 50, 100, 1000}) ExpectSane(prompts, capacity);
}

// All of them take minutes where every access is checked.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr size_t kWorkloads = 3, kCapacities = 1;
#else
constexpr size_t kWorkloads = SIZE_MAX, kCapacities = SIZE_MAX;
#endif

// The bar for workloads of all kinds: never notably below LRU. A little is lost to the noise in
// what is learnt where there is nothing to learn, as with requests that are uniformly random.
TEST(EvictionSim, OursKeepsUpWithLruEverywhere) {
  const std::vector<std::string> names = WorkloadNames();
  for (const std::string& name : std::span(names).first(std::min(kWorkloads, names.size()))) {
    const Workload workload = *MakeWorkload(name);
    const size_t count = std::min(kCapacities, workload.capacities.size());
    for (const size_t capacity : std::span(workload.capacities).first(count)) {
      const double lru = HitRatio(workload.prompts, *MakeLru(capacity));
      EXPECT_GE(HitRatio(workload.prompts, *MakeOurs(capacity)), 0.96 * lru)
          << name << " at " << capacity;
    }
  }
}

}  // namespace
}  // namespace kvstore::eviction_sim
