#include "KVPlayground/trace_player.h"

#include <gtest/gtest.h>

#include <random>
#include <thread>

#include "KVPlayground/fake_store.h"

namespace kvstore::playground {
namespace {

Digest NumberedDigest(uint8_t number) {
  Digest digest{};
  digest[0] = number;
  return digest;
}

TEST(PrefixLedger, CountsWhatEarlierRequestsHad) {
  PrefixLedger ledger;
  const std::vector<Digest> digests = {NumberedDigest(1), NumberedDigest(2), NumberedDigest(3)};
  const std::span<const Digest> all(digests);
  EXPECT_EQ(ledger.Admit(0, all.first(2)).seen, 0u);
  const auto second = ledger.Admit(1, all);
  EXPECT_EQ(second.seen, 2u);
  EXPECT_EQ(second.owner, 0u);
  const auto third = ledger.Admit(2, all);
  EXPECT_EQ(third.seen, 3u);
  EXPECT_EQ(third.owner, 1u);
  EXPECT_EQ(ledger.Admit(3, {}).seen, 0u);
  EXPECT_DOUBLE_EQ(ledger.IdealHitRatio(), 5.0 / 8.0);
}

// Requests over a random tree of prefixes, many of them shared with one just before.
Trace RandomTrace(size_t requests, unsigned seed) {
  std::mt19937 random(seed);
  Trace trace;
  for (size_t i = 0; i < requests; ++i) {
    const size_t count = 1 + random() % 6;
    TraceRequest request;
    request.timestamp_ms = static_cast<int64_t>(i);
    request.first_id = trace.ids.size();
    request.id_count = count;
    request.input_length = count * 256 - random() % 256;
    request.line = i + 1;
    for (size_t k = 0; k < count; ++k) trace.ids.push_back(random() % 3);
    trace.requests.push_back(request);
  }
  return trace;
}

// Keeps calls apart long enough that requests do overlap.
class SlowStore : public FakeStore {
 public:
  absl::StatusOr<WriteAnswer> WritePrompt(std::string_view partition,
                                          std::span<const ::Token> tokens, size_t first_block,
                                          std::span<const std::span<const std::byte>> buffers,
                                          const CallOptions& call) override {
    std::this_thread::sleep_for(std::chrono::microseconds(200));
    return FakeStore::WritePrompt(partition, tokens, first_block, buffers, call);
  }
};

TEST(TracePlayer, ReachesTheIdealRatioExactlyAtAnyConcurrency) {
  const Trace trace = RandomTrace(300, 7);
  double ideal = -1;
  for (size_t concurrency : {1, 4, 16}) {
    SlowStore store;
    Shared shared;
    TracePlayer player(&store, trace, {{"model", 64, 4}, 256, 2, concurrency, 0}, &shared);
    const RunStats stats = player.Run();
    const IterationStats total = stats.Total();
    EXPECT_EQ(total.requests, 600u);
    EXPECT_DOUBLE_EQ(HitRatio(total), player.IdealHitRatio()) << concurrency;
    EXPECT_DOUBLE_EQ(HitRatio(stats.iterations[1]), 1);
    EXPECT_EQ(shared.mismatches.count(), 0u);
    // Each distinct block was computed once.
    EXPECT_EQ(stats.write.count, store.size());
    if (ideal >= 0) {
      EXPECT_DOUBLE_EQ(player.IdealHitRatio(), ideal);
    }
    ideal = player.IdealHitRatio();
  }
  EXPECT_GT(ideal, 0.5);
}

TEST(TracePlayer, StaysBelowTheIdealRatioWhereTheStoreForgets) {
  const Trace trace = RandomTrace(100, 8);
  FakeStore store;
  store.lost = [](const FakeStore::Block& block) { return block.hash % 4 == 0; };
  Shared shared;
  TracePlayer player(&store, trace, {{"model", 64, 4}, 256, 1, 2, 0}, &shared);
  const RunStats stats = player.Run();
  EXPECT_LT(HitRatio(stats.Total()), player.IdealHitRatio());
  EXPECT_GT(stats.lost_blocks, 0u);
}

TEST(TracePlayer, EndsEarlyWhereTheStoreIsDown) {
  const Trace trace = RandomTrace(500, 9);
  FakeStore store;
  store.lookup_status = absl::UnavailableError("down");
  store.write_status = absl::UnavailableError("down");
  Shared shared;
  TracePlayer player(&store, trace, {{"model", 64, 4}, 256, 1, 4, 0}, &shared);
  const RunStats stats = player.Run();
  EXPECT_TRUE(shared.stop);
  EXPECT_LT(stats.Total().requests, 100u);
}

TEST(TracePlayer, KeepsToTheTimestamps) {
  const Trace trace = RandomTrace(101, 10);  // a request each millisecond
  FakeStore store;
  Shared shared;
  TracePlayer player(&store, trace, {{"model", 64, 4}, 256, 1, 2, 0.5}, &shared);
  const auto start = std::chrono::steady_clock::now();
  player.Run();
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(200));
}

}  // namespace
}  // namespace kvstore::playground
