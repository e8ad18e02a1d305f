// The modern surface over several servers.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <set>

#include "KVClient/test/testing.h"
#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace kvstore {
namespace {

using ::testing::HasSubstr;

constexpr int kResourceExhausted = 8;

// A call that meets a server which hangs is done within kQuiet + kPingTime and what the machine
// makes of it.
const absl::Duration kSoon = kThreadSanitizer ? absl::Seconds(60) : absl::Milliseconds(1500);

// ThreadSanitizer takes a tenth of a second for a call: what depends on time is not tested with it.
#define SKIP_IF_SLOW() \
  if (kThreadSanitizer) GTEST_SKIP() << "depends on time"

class Fleet3 : public ::testing::Test {
 protected:
  explicit Fleet3(bool hedge = false) {
    ClientOptions options;
    for (FakeServer& server : servers_) {
      server.GiveRealisticLocations();
      options.servers += (options.servers.empty() ? "" : ",") + server.address();
    }
    options.resource = "acct";
    options.container = "models";
    options.hedge_reads = hedge;
    options.token = "of-the-fleet";
    options.log = [this](LogLevel, const std::string& message) {
      absl::MutexLock lock(&mutex_);
      log_ += message + "\n";
    };
    client_ = *Client::Create(options);
  }

  void Share() {
    servers_[1].ShareWith(servers_[0]);
    servers_[2].ShareWith(servers_[0]);
    ASSERT_TRUE(client_->Lookup("p", TestTokens(1)).ok());
    ASSERT_TRUE(client_->stats().shared_store);
  }

  // The number of the server that has written the block; 3 for none.
  size_t WriterOf(uint64_t hash) const {
    size_t i = 0;
    for (; i < 3; ++i) {
      const auto written = servers_[i].written();
      if (std::count(written.begin(), written.end(), hash) > 0) break;
    }
    return i;
  }

  // The number of the server that a partition belongs to.
  size_t HomeOf(const std::string& partition) {
    const TestBlocks blocks(1);
    const std::vector<size_t> before = Writes();
    EXPECT_TRUE(client_->WritePrompt(partition, TestTokens(1), 0, blocks.spans).ok());
    for (size_t i = 0; i < 3; ++i) {
      if (servers_[i].written().size() > before[i]) return i;
    }
    return 3;
  }

  std::vector<size_t> Writes() const {
    std::vector<size_t> writes;
    for (const FakeServer& server : servers_) writes.push_back(server.written().size());
    return writes;
  }

  std::string log() {
    absl::MutexLock lock(&mutex_);
    return log_;
  }
  bool AwaitLog(const std::string& text, absl::Duration time) {
    const absl::Time deadline = absl::Now() + time;
    while (absl::Now() < deadline) {
      if (log().find(text) != std::string::npos) return true;
      absl::SleepFor(absl::Milliseconds(10));
    }
    return false;
  }

  bool AwaitUp(size_t server, absl::Duration time) {
    const absl::Time deadline = absl::Now() + time;
    while (!client_->stats().servers[server].up && absl::Now() < deadline) {
      absl::SleepFor(absl::Milliseconds(10));
    }
    return client_->stats().servers[server].up;
  }

  absl::Mutex mutex_;
  std::string log_;
  FakeServer servers_[3];
  std::shared_ptr<Client> client_;
};

class HedgingFleet3 : public Fleet3 {
 protected:
  HedgingFleet3() : Fleet3(true) {}
};

TEST_F(Fleet3, WithoutASharedStorageEachPartitionHasAHome) {
  const TestBlocks blocks(4);
  const int partitions = kThreadSanitizer ? 10 : 40;
  for (int i = 0; i < partitions; ++i) {
    const std::string partition = "p" + std::to_string(i);
    ASSERT_TRUE(client_->WritePrompt(partition, TestTokens(4), 0, blocks.spans).ok());
    const auto found = client_->Lookup(partition, TestTokens(4));
    ASSERT_TRUE(found.ok());
    EXPECT_EQ(found->cached_blocks, 4);
  }
  EXPECT_FALSE(client_->stats().shared_store);
  std::map<std::string, std::set<size_t>> homes;
  for (size_t i = 0; i < 3; ++i) {
    if (!kThreadSanitizer) {
      EXPECT_GE(servers_[i].stored().size(), 4u * 5);
    }
    for (const auto& chunk : servers_[i].stored()) homes[chunk.partition].insert(i);
  }
  ASSERT_EQ(homes.size(), static_cast<size_t>(partitions));
  for (const auto& [partition, its] : homes) EXPECT_EQ(its.size(), 1u) << partition;
}

TEST_F(Fleet3, OnASharedStorageEachBlockHasAHomeAndAPromptComesFromAll) {
  SKIP_IF_SLOW();
  Share();
  constexpr size_t kBlocks = 90;
  const auto tokens = TestTokens(kBlocks);
  const TestBlocks blocks(kBlocks, 2000);
  const auto written = client_->WritePrompt("p", tokens, 0, blocks.spans);
  ASSERT_TRUE(written.ok()) << written.status();
  const auto found = client_->Lookup("p", tokens);
  ASSERT_EQ(found->cached_blocks, static_cast<int>(kBlocks));

  TestRoom room(kBlocks, 3000);
  std::vector<size_t> order;
  absl::Notification ended;
  client_->StreamingReadAsync(
      LocationsOf(*found), [&](size_t i, size_t) { return room.spans[i]; }, {},
      [&](size_t index, BlockAnswer answer) {
        order.push_back(index);
        EXPECT_TRUE(answer.status.ok() && answer.found) << answer.status;
        EXPECT_EQ(answer.hash, written->hashes[index]);
      },
      [&] { ended.Notify(); });
  ended.WaitForNotification();
  ASSERT_EQ(order.size(), kBlocks);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
  for (size_t i = 0; i < kBlocks; ++i) {
    ASSERT_EQ(std::memcmp(room.bytes[i].data(), blocks.bytes[i].data(), blocks.bytes[i].size()), 0);
  }
  const auto locations = LocationsOf(*found);
  for (size_t server = 0; server < 3; ++server) {
    EXPECT_EQ(servers_[server].streams(), 1);
    EXPECT_GE(servers_[server].read().size(), 15u);
    for (const std::string& location : servers_[server].read()) {
      const size_t block =
          std::find(locations.begin(), locations.end(), location) - locations.begin();
      ASSERT_LT(block, kBlocks);
      EXPECT_EQ(WriterOf(written->hashes[block]), server) << "block " << block;
    }
  }
  const auto stats = client_->stats();
  uint64_t read = 0;
  for (const ServerStats& server : stats.servers) read += server.blocks_read;
  EXPECT_EQ(read, kBlocks);
}

TEST_F(Fleet3, BlocksWithoutAPrefixDigestAreReadWhereTheyWereWritten) {
  Share();
  for (int i = 0; i < (kThreadSanitizer ? 4 : 20); ++i) {
    ::PromptChunk chunk;
    chunk.hash = 1000 + i;
    chunk.parentHash = i % 2 == 0 ? 0 : 77;
    chunk.partitionKey = "p";
    chunk.tokens = TestTokens(1, 100 * i);
    const auto bytes = TestBytes(100, i);
    absl::Notification ended;
    client_->WriteAsync(chunk, bytes, {}, [&](absl::StatusOr<::ServerMetrics> result) {
      EXPECT_TRUE(result.ok()) << result.status();
      ended.Notify();
    });
    ended.WaitForNotification();
    if (i % 2 == 1) continue;
    const auto found = client_->Lookup("p", chunk.tokens);
    ASSERT_EQ(found->cached_blocks, 1);
    TestRoom room(1, 100);
    ASSERT_TRUE(client_->Read(found->locations[0].location, room.spans[0]).found);
    const size_t writer = WriterOf(chunk.hash);
    ASSERT_LT(writer, 3u);
    EXPECT_EQ(servers_[writer].read().back(), found->locations[0].location);
  }
}

TEST_F(Fleet3, ADeadServerIsLeftAtOnceAndTakenBack) {
  const size_t home = HomeOf("p");
  ASSERT_LT(home, 3u);
  servers_[home].Stop();
  const TestBlocks blocks(6);
  const absl::Time start = absl::Now();
  ASSERT_TRUE(client_->WritePrompt("p", TestTokens(6), 0, blocks.spans).ok());
  const auto found = client_->Lookup("p", TestTokens(6));
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->cached_blocks, 6);
  TestRoom room(6, 6000);
  for (const auto& answer : client_->StreamingRead(LocationsOf(*found), room.spans)) {
    EXPECT_TRUE(answer.found) << answer.status;
  }
  EXPECT_LT(absl::Now() - start, kSoon);
  EXPECT_THAT(log(), HasSubstr("server " + servers_[home].address() + " is unavailable"));
  EXPECT_FALSE(client_->stats().servers[home].up);
  EXPECT_EQ(client_->stats().servers[home].times_left, 1u);

  servers_[home].Start();
  const std::string back = "server " + servers_[home].address() + " answers again";
  EXPECT_TRUE(AwaitLog(back, absl::Seconds(10))) << log();
  const size_t before = servers_[home].written().size();
  ASSERT_TRUE(client_->WritePrompt("p", TestTokens(1, 999), 0, TestBlocks(1).spans).ok());
  EXPECT_EQ(servers_[home].written().size(), before + 1);
}

TEST_F(Fleet3, EveryCallStreamAndPingSaysWhoCalls) {
  const size_t home = HomeOf("p");
  ASSERT_LT(home, 3u);
  servers_[home].Stop();
  const TestBlocks blocks(2);
  ASSERT_TRUE(client_->WritePrompt("p", TestTokens(2), 0, blocks.spans).ok());
  const auto found = client_->Lookup("p", TestTokens(2));
  ASSERT_TRUE(found.ok()) << found.status();
  TestRoom room(2, 6000);
  client_->StreamingRead(LocationsOf(*found), room.spans);
  servers_[home].Start();
  EXPECT_TRUE(AwaitLog("answers again", absl::Seconds(10))) << log();
  EXPECT_GT(servers_[home].pings(), 0);
  ASSERT_TRUE(client_->Lookup("p", TestTokens(2)).ok());
  std::set<std::string> all;
  int streams = 0;
  for (const FakeServer& server : servers_) {
    all.merge(server.authorizations());
    streams += server.streams();
  }
  EXPECT_GT(streams, 0);
  EXPECT_EQ(all, std::set<std::string>{"Bearer of-the-fleet"});
}

TEST_F(Fleet3, ACallToAServerThatHangsGoesElsewhereWithinASecond) {
  SKIP_IF_SLOW();
  const size_t home = HomeOf("p");
  ASSERT_LT(home, 3u);
  const TestBlocks blocks(8, kLargeBlock);
  const auto time_of = [](auto call) {
    const absl::Time start = absl::Now();
    call();
    return absl::Now() - start;
  };
  absl::Duration write = absl::InfiniteDuration(), lookup = write;
  // The machine may have been busy with something else: that says nothing of the client.
  for (int tries = 0; tries < 3 && std::max(write, lookup) >= kSoon; ++tries) {
    servers_[home].Hang(true);
    write = time_of([&] {
      EXPECT_TRUE(client_->WritePrompt("p", TestTokens(8, tries), 0, blocks.spans).ok());
    });
    EXPECT_EQ(client_->stats().servers[home].times_left, tries + 1u);
    lookup = time_of([&] { EXPECT_TRUE(client_->Lookup("p", TestTokens(2)).ok()); });
    servers_[home].Hang(false);
    EXPECT_TRUE(AwaitUp(home, absl::Seconds(10)));
  }
  EXPECT_LT(write, kSoon);
  EXPECT_LT(lookup, kSoon);
  EXPECT_THAT(log(), HasSubstr("does not answer a ping"));
  EXPECT_THAT(log(), HasSubstr("answers again"));
}

TEST_F(Fleet3, AStreamOfAServerThatHangsGoesElsewhereWithinASecond) {
  SKIP_IF_SLOW();
  for (FakeServer& server : servers_) server.DelayReads(3000);  // and pings are answered
  // A server that works on it, for all that one knows, is not left.
  TestRoom room(3, 10);
  const std::vector<std::string> locations = {"a", "b", "c"};
  const auto late =
      client_->StreamingRead(locations, room.spans, {.timeout = std::chrono::milliseconds(1500)});
  EXPECT_EQ(late[0].status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(log().find("is unavailable"), std::string::npos) << log();
  for (FakeServer& server : servers_) server.DelayReads(0);

  servers_[1].Hang(true);
  const absl::Time start = absl::Now();
  std::vector<std::string> many;
  for (int i = 0; i < 60; ++i) many.push_back("x/" + std::to_string(i));
  TestRoom more(60, 10);
  for (const auto& answer : client_->StreamingRead(many, more.spans)) {
    EXPECT_TRUE(answer.status.ok()) << answer.status;
  }
  EXPECT_LT(absl::Now() - start, kSoon);
}

TEST_F(Fleet3, ShortDeadlinesHideNoServerThatHangs) {
  SKIP_IF_SLOW();
  const size_t home = HomeOf("p");
  ASSERT_LT(home, 3u);
  servers_[home].Hang(true);
  const CallOptions soon{.timeout = std::chrono::milliseconds(50)};
  const absl::Time start = absl::Now();
  bool ok = false;
  while (!ok && absl::Now() - start < absl::Seconds(10)) {
    ok = client_->Lookup("p", TestTokens(1), {}, soon).ok();
  }
  EXPECT_TRUE(ok);
  EXPECT_LT(absl::Now() - start, kSoon);
  servers_[home].Hang(false);
}

TEST_F(Fleet3, WhereAllAreGoneTheErrorSaysSoAndTheFirstThatReturnsIsUsed) {
  for (FakeServer& server : servers_) server.Stop();
  const absl::Time start = absl::Now();
  const auto none = client_->Lookup("p", TestTokens(1));
  EXPECT_EQ(none.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_LT(absl::Now() - start, kSoon + absl::Seconds(20));
  servers_[2].Start();
  const absl::Time deadline = absl::Now() + absl::Seconds(20);
  bool found = false;
  while (!found && absl::Now() < deadline) found = client_->Lookup("p", TestTokens(1)).ok();
  EXPECT_TRUE(found);
}

TEST_F(Fleet3, RetriesHaveABudget) {
  SKIP_IF_SLOW();
  for (FakeServer& server : servers_) server.FailNext(1'000'000, kResourceExhausted, "busy");
  std::string last;
  for (int i = 0; i < 100 && last.find("too many calls") == std::string::npos; ++i) {
    // Short deadlines, or each would wait for seconds.
    const auto found =
        client_->Lookup("p", TestTokens(1), {}, {.timeout = std::chrono::milliseconds(120)});
    ASSERT_FALSE(found.ok());
    last = std::string(found.status().message());
  }
  EXPECT_THAT(last, HasSubstr("busy"));
  EXPECT_THAT(last, HasSubstr("too many calls of late"));
}

TEST_F(Fleet3, ASlowServerIsLeft) {
  SKIP_IF_SLOW();
  Share();
  const TestBlocks blocks(60, 500);
  const auto tokens = TestTokens(60);
  ASSERT_TRUE(client_->WritePrompt("p", tokens, 0, blocks.spans).ok());
  const auto found = client_->Lookup("p", tokens);
  servers_[0].DelayReads(300);
  const absl::Time deadline = absl::Now() + absl::Seconds(20);
  TestRoom room(1, 1000);
  size_t next = 0;
  while (log().find("left for a while") == std::string::npos && absl::Now() < deadline) {
    ASSERT_TRUE(client_->Read(found->locations[next++ % 60].location, room.spans[0]).found);
  }
  EXPECT_THAT(log(), HasSubstr("server " + servers_[0].address() + " is left for a while"));
  const size_t before = servers_[0].read().size();
  for (int i = 0; i < 30; ++i) {
    ASSERT_TRUE(client_->Read(found->locations[next++ % 60].location, room.spans[0]).found);
  }
  EXPECT_LE(servers_[0].read().size(), before + 3);
}

TEST_F(Fleet3, ABlockInGreatDemandIsReadFromSeveralHomes) {
  SKIP_IF_SLOW();
  Share();
  const TestBlocks blocks(1, 500);
  ASSERT_TRUE(client_->WritePrompt("p", TestTokens(1), 0, blocks.spans).ok());
  const auto found = client_->Lookup("p", TestTokens(1));
  TestRoom room(1, 1000);
  for (int i = 0; i < 300; ++i) {
    ASSERT_TRUE(client_->Read(found->locations[0].location, room.spans[0]).found);
  }
  std::vector<size_t> reads;
  for (const FakeServer& server : servers_) reads.push_back(server.read().size());
  std::sort(reads.begin(), reads.end());
  EXPECT_GE(reads[0], 50u);  // all reads are of it, and three servers share them evenly
  EXPECT_LE(reads[2], 150u);
  uint64_t further = 0;
  for (const ServerStats& server : client_->stats().servers) further += server.further_home;
  EXPECT_EQ(further, 300 - reads[2]);
}

TEST_F(HedgingFleet3, AReadThatTakesLongIsSentToAnotherAndTheLoserTouchesNothing) {
  SKIP_IF_SLOW();
  Share();
  constexpr size_t kBlocks = 30;
  const TestBlocks blocks(kBlocks, 500);
  ASSERT_TRUE(client_->WritePrompt("p", TestTokens(kBlocks), 0, blocks.spans).ok());
  const auto found = client_->Lookup("p", TestTokens(kBlocks));
  // So often that its latency is known of a server that is home to two of the blocks only.
  for (int round = 0; round < 24; ++round) {
    for (size_t i = 0; i < kBlocks; ++i) {
      TestRoom room(1, 1000);
      ASSERT_TRUE(client_->Read(found->locations[i].location, room.spans[0]).found);
    }
  }
  servers_[0].DelayReads(2000);
  for (size_t i = 0; i < kBlocks; ++i) {
    TestRoom room(1, 1000);
    const absl::Time start = absl::Now();
    const auto answer = client_->Read(found->locations[i].location, room.spans[0]);
    ASSERT_TRUE(answer.found) << answer.status;
    EXPECT_LT(absl::Now() - start, absl::Milliseconds(1500));
    ASSERT_EQ(std::memcmp(room.bytes[0].data(), blocks.bytes[i].data(), answer.bytes), 0);
  }  // and ASan would tell of a late write to a room that is gone
  uint64_t sent = 0, won = 0;
  for (const ServerStats& server : client_->stats().servers) {
    sent += server.hedges_sent;
    won += server.hedges_won;
  }
  EXPECT_GT(won, 0u);
  EXPECT_GE(sent, won);
  const absl::Time deadline = absl::Now() + absl::Seconds(10);
  while (servers_[0].cancelled() == 0 && absl::Now() < deadline) {
    absl::SleepFor(absl::Milliseconds(20));
  }
  EXPECT_GT(servers_[0].cancelled(), 0);
}

// For the sanitizers: calls, hedges and streams at a time, while servers fail and hang.
TEST_F(HedgingFleet3, ManyCallsAtATimeAllEnd) {
  Share();
  const TestBlocks blocks(6, 500);
  const auto tokens = TestTokens(6);
  ASSERT_TRUE(client_->WritePrompt("p", tokens, 0, blocks.spans).ok());
  const auto found = client_->Lookup("p", tokens);
  ASSERT_EQ(found->cached_blocks, 6);
  const auto locations = LocationsOf(*found);
  const int calls = kThreadSanitizer ? 20 : 300;
  absl::BlockingCounter running(3 * calls);
  std::atomic<int> blocks_told = 0;
  const auto room = [](size_t, size_t bytes) {
    thread_local std::vector<std::byte> memory;
    memory.resize(bytes);
    return std::span<std::byte>(memory);
  };
  for (int i = 0; i < calls; ++i) {
    if (i == calls / 4) servers_[1].Hang(true);
    if (i == calls / 2) servers_[2].FailNext(5, 14, "away");
    if (i == calls * 3 / 4) servers_[1].Hang(false);
    client_->StreamingReadAsync(
        locations, room, {}, [&](size_t, BlockAnswer) { ++blocks_told; },
        [&] { running.DecrementCount(); });
    client_->LookupAsync("p", tokens, {}, {}, [&](auto) { running.DecrementCount(); });
    client_->ReadAsync(locations[i % 6], room, {}, [&](auto) { running.DecrementCount(); });
    if (i % 10 == 0) client_->stats();
  }
  running.Wait();
  EXPECT_EQ(blocks_told, 6 * calls);
}

TEST_F(Fleet3, StatsNameTheServers) {
  ASSERT_TRUE(client_->Lookup("p", TestTokens(1)).ok());
  const ClientStats stats = client_->stats();
  ASSERT_EQ(stats.servers.size(), 3u);
  uint64_t calls = 0, retries = 0;
  for (size_t i = 0; i < 3; ++i) {
    const ServerStats& server = stats.servers[i];
    EXPECT_EQ(server.name, servers_[i].address());
    EXPECT_TRUE(server.up || server.times_left > 0);  // a busy machine may have kept it silent
    EXPECT_EQ(server.in_flight, 0);
    calls += server.calls;
    retries += server.retries;
    if (server.calls > server.failures) {
      EXPECT_GT(server.latency_p95.count(), 0);
    }
  }
  EXPECT_EQ(calls, 1 + retries);
}

}  // namespace
}  // namespace kvstore
