#include "KVService/retention/retention.h"

#include <gtest/gtest.h>

#include <atomic>
#include <fstream>

#include "KVService/platform/temp_dir.h"
#include "KVService/storage/memory/memory_blob_store.h"
#include "KVService/storage/memory/memory_shared_blob_store.h"
#include "KVService/store/chunk_store_testing.h"
#include "absl/synchronization/notification.h"

namespace kvstore {
namespace {

const PartitionDigest kP = DigestPartition("p"), kQ = DigestPartition("q");

TEST(ParseRetention, TheFirstRuleThatFitsCounts) {
  const auto rules = *ParseRetention(R"({
    "rules": [{"account": "acct", "container": "box", "partition": "p", "ttl": "90s"},
              {"account": "https://acct.blob.core.windows.net", "container": "box", "ttl": "2m"},
              {"account": "acct", "ttl": "3h"}, {"partition": "q", "ttl": "4d"}],
    "capacities": [{"account": "acct", "container": "box", "bytes": 1000}]})");
  EXPECT_EQ(rules.TtlOf({"acct", "box"}, kP), absl::Seconds(90));
  EXPECT_EQ(rules.TtlOf({"acct", "box"}, kQ), absl::Minutes(2));
  EXPECT_EQ(rules.TtlOf({"acct", "other"}, kP), absl::Hours(3));
  EXPECT_EQ(rules.TtlOf({"other", "box"}, kQ), absl::Hours(96));
  EXPECT_EQ(rules.TtlOf({"other", "box"}, kP), std::nullopt);
  ASSERT_EQ(rules.capacities.size(), 1);
  EXPECT_EQ(rules.capacities[0].bytes, 1000);
  EXPECT_TRUE(ParseRetention("{}").ok());
}

TEST(ParseRetention, SaysWhereAndWhat) {
  const auto error = [](const std::string& text) {
    const auto parsed = ParseRetention(text);
    EXPECT_TRUE(absl::IsInvalidArgument(parsed.status())) << text;
    return std::string(parsed.status().message());
  };
  EXPECT_EQ(error("[]"), "the file: must be an object");
  EXPECT_EQ(error(R"({"rule": []})"), "the file.rule: unknown key; known are capacities, rules");
  EXPECT_EQ(error(R"({"rules": [{"account": "a"}]})"), "rules[0].ttl: is missing");
  for (const char* ttl : {"5", "h", "5x", "-5h", "0s", "5 h", "1e3s", "99999999999999999999d"}) {
    EXPECT_TRUE(error(R"({"rules": [{"ttl": ")" + std::string(ttl) + R"("}]})")
                    .starts_with("rules[0].ttl: must be a whole number"))
        << ttl;
  }
  EXPECT_EQ(error(R"({"rules": [{"ttl": "99999d"}]})"),
            "rules[0].ttl: is more than a hundred years");
  EXPECT_EQ(error(R"({"capacities": [{"account": "a", "bytes": 1}]})"),
            "capacities[0].container: is missing");
  EXPECT_EQ(error(R"({"capacities": [{"account": "a", "container": "b", "bytes": -1}]})"),
            "capacities[0].bytes: must be a whole number");
}

class RetentionTest : public ::testing::Test {
 protected:
  std::unique_ptr<ChunkStore> Local() {
    return *ChunkStore::Open({}, std::make_unique<MemoryBlobStore>());
  }
  void Write(ChunkStore& store, uint64_t count, const std::string& partition = "p") {
    for (uint64_t i = 0; i < count; ++i) {
      ASSERT_TRUE(WriteNow(store, {.partition = partition,
                                   .hash = i + 1,
                                   .tokens = BlockOf(static_cast<Token>(i)),
                                   .buffer = std::string(10'000, 'x')})
                      .ok());
    }
  }
  std::unique_ptr<Retention> Start(ChunkStore* store, const std::string& file, bool dry_run = false,
                                   std::function<absl::Status(const Container&)> lease = nullptr) {
    std::ofstream(directory_.path() + "/retention.json") << file;
    return *Retention::Start(
        {directory_.path() + "/retention.json", absl::Milliseconds(1), dry_run, std::move(lease)},
        store);
  }
  static bool Eventually(const std::function<bool()>& condition) {
    for (const absl::Time end = absl::Now() + absl::Seconds(60); absl::Now() < end;) {
      if (condition()) return true;
      absl::SleepFor(absl::Milliseconds(1));
    }
    return false;
  }
  void TwoSweepsMore(const Retention& retention) {
    const uint64_t before = retention.stats().sweeps;
    ASSERT_TRUE(Eventually([&] { return retention.stats().sweeps >= before + 2; }));
  }

  const testing::TempDir directory_;
};

TEST_F(RetentionTest, WhatIsTooOldGoesAndNothingElse) {
  const auto store = Local();
  Write(*store, 20);
  Write(*store, 5, "q");
  const auto retention =
      Start(store.get(), R"({"rules": [{"partition": "p", "ttl": "1s"}, {"ttl": "1h"}]})");
  EXPECT_TRUE(Eventually([&] { return ListNow(*store, "p")->empty(); }));
  EXPECT_EQ(store->stats().expired_chunks, 20);
  TwoSweepsMore(*retention);
  EXPECT_EQ(ListNow(*store, "q")->size(), 5);
  EXPECT_EQ(LookupNow(*store, BlockOf(3), {}, "q").size(), 1);
  EXPECT_TRUE(LookupNow(*store, BlockOf(3)).empty());
  EXPECT_EQ(retention->stats().blocks, 20);
}

TEST_F(RetentionTest, ADryRunOnlySaysWhatWouldGo) {
  const auto store = Local();
  Write(*store, 10);
  const auto retention = Start(store.get(),
                               R"({"rules": [{"ttl": "1s"}],
          "capacities": [{"account": "acct", "container": "box", "bytes": 50000}]})",
                               /*dry_run=*/true);
  EXPECT_TRUE(Eventually([&] { return retention->stats().blocks >= 10; }));
  EXPECT_EQ(ListNow(*store, "p")->size(), 10);
  EXPECT_EQ(store->stats().expired_chunks + store->stats().evicted_chunks, 0);
}

TEST_F(RetentionTest, AContainerIsFittedToItsCapacityAndOthersAreNot) {
  const auto store = Local();
  Write(*store, 20);
  const auto other = [&](uint64_t i) {
    const TestChunk chunk{.hash = i + 1, .tokens = BlockOf(static_cast<Token>(i))};
    std::promise<absl::Status> written;
    store->Write({"acct", "other"}, WireChunk(chunk), Encoded(chunk), Soon(),
                 [&](auto outcome) { written.set_value(outcome.status()); });
    return written.get_future().get();
  };
  for (uint64_t i = 0; i < 20; ++i) ASSERT_TRUE(other(i).ok());
  LookupNow(*store, BlockOf(7));  // worth more than the others now
  const auto retention = Start(
      store.get(), R"({"capacities": [{"account": "acct", "container": "box", "bytes": 100000}]})");
  EXPECT_TRUE(Eventually([&] { return ListNow(*store, "p")->size() <= 10; }));
  TwoSweepsMore(*retention);
  const size_t left = ListNow(*store, "p")->size();
  EXPECT_GE(left, 6) << "more went than had to";
  EXPECT_EQ(LookupNow(*store, BlockOf(7)).size(), 1);
  EXPECT_EQ(store->stats().blocks, left + 20);
}

TEST_F(RetentionTest, OnlyTheServerWithTheLeaseRemoves) {
  const auto account = std::make_shared<MemoryAccount>();
  const auto open = [&](MemorySharedBlobStore** way) {
    auto storage = std::make_unique<MemorySharedBlobStore>(account);
    *way = storage.get();
    return *ChunkStore::OpenShared({}, std::move(storage));
  };
  MemorySharedBlobStore *a_way, *b_way;
  const auto a = open(&a_way), b = open(&b_way);
  Write(*a, 10);
  const auto lease = [](MemorySharedBlobStore* way) {
    return [way](const Container& c) { return way->Lease(c.account, c.name, 60); };
  };
  ASSERT_TRUE(b_way->Lease("acct", "box", 60).ok());
  const std::string file = R"({"rules": [{"ttl": "1s"}]})";
  {
    const auto retention = Start(a.get(), file, false, lease(a_way));
    absl::SleepFor(absl::Milliseconds(1100));
    TwoSweepsMore(*retention);
    EXPECT_EQ(ListNow(*a, "p")->size(), 10);
    EXPECT_EQ(retention->stats().failures, 0);
  }
  const auto retention = Start(b.get(), file, false, lease(b_way));
  EXPECT_TRUE(Eventually([&] { return ListNow(*a, "p")->empty(); }));
}

// Whose listing goes on until it is told to end.
class EndlessListing : public MemoryBlobStore {
 public:
  explicit EndlessListing(std::atomic<bool>* lists) : lists_(*lists) {}
  absl::Status ListUntil(const std::shared_ptr<Cancellation>& end,
                         const std::function<void(BlobInfo)>& visit) override {
    if (end == nullptr) return MemoryBlobStore::ListUntil(end, visit);  // the store's own
    lists_ = true;
    absl::Notification ended;
    end->OnCancel([&ended] { ended.Notify(); });
    ended.WaitForNotification();
    return absl::CancelledError("the listing");
  }

 private:
  std::atomic<bool>& lists_;
};

TEST_F(RetentionTest, ALongListingDoesNotHoldUpTheEnd) {
  std::atomic<bool> lists = false;
  const auto store = *ChunkStore::Open({}, std::make_unique<EndlessListing>(&lists));
  auto retention = Start(store.get(), R"({"rules": [{"ttl": "1s"}]})");
  ASSERT_TRUE(Eventually([&] { return lists.load(); }));
  retention.reset();  // for ever, if the listing were waited for
  EXPECT_TRUE(store->Close().ok());
}

TEST_F(RetentionTest, ABadFileChangesNothing) {
  const auto store = Local();
  const auto retention = Start(store.get(), "{}");
  std::ofstream(directory_.path() + "/retention.json") << "{";
  EXPECT_TRUE(absl::IsInvalidArgument(retention->Reload()));
  EXPECT_FALSE(Retention::Start({.path = directory_.path() + "/none"}, store.get()).ok());
}

}  // namespace
}  // namespace kvstore
