// The modern surface against a server on real protobuf: what works when nothing fails.
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <set>

#include "KVClient/test/testing.h"
#include "KVCommon/digest.h"
#include "KVCommon/limits.h"
#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace kvstore {
namespace {

using ::testing::HasSubstr;

class ClientTest : public ::testing::Test {
 protected:
  FakeServer server_;
  std::shared_ptr<Client> client_ = TestClient(server_.address());
};

TEST_F(ClientTest, WritesFindsAndReadsAPrompt) {
  const auto tokens = TestTokens(5);
  const TestBlocks blocks(5, kTypicalBlock);
  const auto written = client_->WritePrompt("llama", tokens, 0, blocks.spans);
  ASSERT_TRUE(written.ok()) << written.status();
  EXPECT_EQ(written->blocks_written, 5);
  EXPECT_EQ(written->metrics.size(), 5u);
  EXPECT_EQ(written->hashes, Client::BlockHashes(tokens));

  const auto found = client_->Lookup("llama", tokens, written->hashes);
  ASSERT_TRUE(found.ok()) << found.status();
  ASSERT_EQ(found->cached_blocks, 5);
  EXPECT_EQ(found->last_hash, written->hashes[4]);

  TestRoom room(5, 2'000'000);
  const auto reads = client_->StreamingRead(LocationsOf(*found), room.spans);
  for (size_t i = 0; i < 5; ++i) {
    ASSERT_TRUE(reads[i].status.ok() && reads[i].found) << reads[i].status;
    ASSERT_EQ(reads[i].bytes, blocks.bytes[i].size());
    EXPECT_EQ(std::memcmp(room.bytes[i].data(), blocks.bytes[i].data(), reads[i].bytes), 0);
    EXPECT_EQ(reads[i].hash, written->hashes[i]);
    EXPECT_EQ(reads[i].parent_hash, i == 0 ? 0 : written->hashes[i - 1]);
    EXPECT_EQ(reads[i].partition, "llama");
    EXPECT_EQ(reads[i].tokens,
              std::vector<Token>(tokens.begin() + i * 128, tokens.begin() + (i + 1) * 128));
  }
  const BlockAnswer one = client_->Read(found->locations[3].location, room.spans[0]);
  ASSERT_TRUE(one.status.ok() && one.found);
  EXPECT_EQ(std::memcmp(room.bytes[0].data(), blocks.bytes[3].data(), one.bytes), 0);
}

TEST_F(ClientTest, ATokensFileMayBeReplacedAndABadOneChangesNothing) {
  const std::string path = ::testing::TempDir() + "kvstore-token-" + std::to_string(::getpid());
  const auto write = [&path](const std::string& text) { std::ofstream(path) << text; };
  const auto await = [&](const std::function<bool()>& done) {
    for (int i = 0; i < 300 && !done(); ++i) {
      ASSERT_TRUE(client_->Lookup("p", TestTokens(1)).ok());
      absl::SleepFor(absl::Milliseconds(20));
    }
  };
  std::atomic<int> errors = 0;
  ClientOptions options{.servers = server_.address(), .resource = "acct", .container = "models"};
  options.token_file = path;
  options.log = [&](LogLevel level, const std::string& line) {
    EXPECT_EQ(line.find("first"), std::string::npos) << line;
    if (level == LogLevel::Error) ++errors;
  };
  write("first\n");
  client_ = *Client::Create(options);
  ASSERT_TRUE(client_->Lookup("p", TestTokens(1)).ok());
  EXPECT_EQ(server_.authorizations(), std::set<std::string>{"Bearer first"});
  write("");
  await([&] { return errors > 0; });
  EXPECT_EQ(errors, 1);
  EXPECT_EQ(server_.authorizations(), std::set<std::string>{"Bearer first"});
  write("second");
  await([&] { return server_.authorizations().count("Bearer second") == 1; });
  EXPECT_EQ(server_.authorizations().size(), 2u);
  std::remove(path.c_str());
}

TEST_F(ClientTest, GivesEveryBlockItsPrefixDigest) {
  const auto tokens = TestTokens(3);
  const TestBlocks blocks(2);
  ASSERT_TRUE(client_->WritePrompt("p", tokens, 1, blocks.spans).ok());
  const auto digests = PrefixDigests(tokens);
  const auto hashes = Client::BlockHashes(tokens);
  const auto stored = server_.stored();
  ASSERT_EQ(stored.size(), 2u);
  for (const auto& chunk : stored) {
    const size_t block = chunk.hash == hashes[1] ? 1 : 2;
    EXPECT_EQ(chunk.hash, hashes[block]);
    EXPECT_EQ(chunk.parent_hash, hashes[block - 1]);
    ASSERT_EQ(chunk.prefix_digest.size(), 32u);
    EXPECT_EQ(std::memcmp(chunk.prefix_digest.data(), digests[block].data(), 32), 0);
    EXPECT_EQ(std::memcmp(&chunk.hash, digests[block].data(), 8), 0);  // little-endian here
    EXPECT_EQ(chunk.resource, "https://acct.blob.core.windows.net");
    EXPECT_EQ(chunk.container, "models");
  }
}

TEST_F(ClientTest, WritesUnderTheCallersHashes) {
  ::PromptChunk chunk;
  chunk.hash = 12345;
  chunk.parentHash = 777;
  chunk.partitionKey = "p";
  chunk.tokens = TestTokens(1, -5);
  const auto bytes = TestBytes(300, 1);
  absl::Notification ended;
  client_->WriteAsync(chunk, bytes, {}, [&](absl::StatusOr<::ServerMetrics> result) {
    EXPECT_TRUE(result.ok()) << result.status();
    ended.Notify();
  });
  ended.WaitForNotification();
  const auto stored = server_.stored();
  ASSERT_EQ(stored.size(), 1u);
  EXPECT_EQ(stored[0].hash, 12345u);
  EXPECT_EQ(stored[0].parent_hash, 777u);
  EXPECT_EQ(stored[0].tokens, chunk.tokens);
  EXPECT_EQ(stored[0].prefix_digest, "");
  EXPECT_EQ(stored[0].buffer.size(), 300u);
}

TEST_F(ClientTest, MissesAreNoErrors) {
  const auto found = client_->Lookup("nowhere", TestTokens(2));
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->cached_blocks, 0);
  EXPECT_EQ(found->last_hash, 0u);
  TestRoom room(1, 10);
  const BlockAnswer read = client_->Read("gone", room.spans[0]);
  EXPECT_TRUE(read.status.ok()) << read.status;
  EXPECT_FALSE(read.found);
}

TEST_F(ClientTest, MeasuresWhatTheCallCost) {
  const auto found = client_->Lookup("p", TestTokens(64));
  ASSERT_TRUE(found.ok());
  const ::ServerMetrics& metrics = found->metrics;
  EXPECT_EQ(metrics.storage_latency_us, 3);
  EXPECT_EQ(metrics.total_latency_us, 5);
  EXPECT_EQ(metrics.overhead_us, 2);
  EXPECT_GT(metrics.client_e2e_us, 0);
  EXPECT_EQ(metrics.network_us,
            metrics.client_e2e_us - 5 - metrics.serialize_us - metrics.deserialize_us);
}

TEST_F(ClientTest, TakesAnswersThatLeaveDefaultsOut) {
  server_.LeaveMetricsOut();
  const auto tokens = TestTokens(1);
  const TestBlocks blocks(1);
  ASSERT_TRUE(client_->WritePrompt("", tokens, 0, blocks.spans).ok());
  const auto found = client_->Lookup("", tokens);
  ASSERT_TRUE(found.ok());
  ASSERT_EQ(found->cached_blocks, 1);
  EXPECT_EQ(found->metrics.total_latency_us, 0);
}

TEST_F(ClientTest, BelievesNoMoreBlocksThanHaveLocations) {
  const auto tokens = TestTokens(3);
  const TestBlocks blocks(2);
  ASSERT_TRUE(client_->WritePrompt("p", tokens, 0, blocks.spans).ok());
  server_.ClaimBlocks(3);
  auto found = client_->Lookup("p", tokens);
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->cached_blocks, 2);
  EXPECT_EQ(found->locations.size(), 2u);
  server_.ClaimBlocks(-7);
  found = client_->Lookup("p", tokens);
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->cached_blocks, 0);
  EXPECT_EQ(found->last_hash, 0u);
}

TEST_F(ClientTest, TellsTheSizeWhereTheMemoryIsTooSmall) {
  const auto tokens = TestTokens(1);
  const TestBlocks blocks(1, 5000);
  ASSERT_TRUE(client_->WritePrompt("p", tokens, 0, blocks.spans).ok());
  TestRoom room(1, 4999);
  const auto found = client_->Lookup("p", tokens);
  const BlockAnswer read = client_->Read(found->locations[0].location, room.spans[0]);
  EXPECT_EQ(read.status.code(), absl::StatusCode::kOutOfRange);
  EXPECT_FALSE(read.found);
  EXPECT_EQ(read.bytes, 5000u);
  EXPECT_EQ(room.bytes[0], std::vector<std::byte>(4999));  // untouched
}

TEST_F(ClientTest, RefusesAPromptThatDoesNotFitItsBuffers) {
  const auto tokens = TestTokens(3);
  const TestBlocks blocks(2);
  const auto Message = [&](size_t first, std::span<const std::span<const std::byte>> buffers) {
    const auto result = client_->WritePrompt("p", tokens, first, buffers);
    EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(result.status().message());
  };
  EXPECT_THAT(Message(2, blocks.spans), HasSubstr("2 buffers from block 2 on"));
  EXPECT_THAT(Message(SIZE_MAX, blocks.spans), HasSubstr("only 3 full blocks"));
  const std::vector<std::span<const std::byte>> empty = {blocks.spans[0], {}};
  EXPECT_THAT(Message(0, empty), HasSubstr("block 1: the buffer is empty"));
  const std::vector<std::byte> large(kMaxBufferBytes + 1);
  const std::vector<std::span<const std::byte>> too_large = {large};
  EXPECT_THAT(Message(0, too_large), HasSubstr("at most"));
  EXPECT_EQ(server_.calls(), 0);

  const auto nothing = client_->WritePrompt("p", tokens, 3, {});
  ASSERT_TRUE(nothing.ok());
  EXPECT_EQ(nothing->blocks_written, 0);
  EXPECT_EQ(nothing->hashes.size(), 3u);
}

TEST_F(ClientTest, CarriesTheLargestBuffer) {
  const auto tokens = TestTokens(1);
  const TestBlocks blocks(1, kLargestBlock);
  ASSERT_TRUE(client_->WritePrompt("p", tokens, 0, blocks.spans).ok());
  TestRoom room(1, kLargestBlock);
  const BlockAnswer read =
      client_->Read(LocationsOf(*client_->Lookup("p", tokens))[0], room.spans[0]);
  ASSERT_TRUE(read.found) << read.status;
  EXPECT_TRUE(room.bytes[0] == blocks.bytes[0]);
}

TEST_F(ClientTest, AnswersAStreamInOrderWithinItsWindow) {
  server_.HoldStreamsFor(kStreamWindow);
  std::vector<std::string> locations;
  for (int i = 0; i < kManyLocations; ++i) locations.push_back("gone-" + std::to_string(i));
  locations[0] = "";  // refused here, not by the server
  locations[150] = std::string(5000, 'x');
  locations[kManyLocations - 1] = "\xff";
  size_t next = 0;
  int refused = 0;
  absl::Notification ended;
  client_->StreamingReadAsync(
      locations, [](size_t, size_t) { return std::span<std::byte>(); }, {},
      [&](size_t index, BlockAnswer answer) {
        EXPECT_EQ(index, next++);
        refused += answer.status.code() == absl::StatusCode::kInvalidArgument;
        EXPECT_FALSE(answer.found);
      },
      [&] { ended.Notify(); });
  ended.WaitForNotification();
  EXPECT_EQ(next, size_t{kManyLocations});
  EXPECT_EQ(refused, 3);
  EXPECT_EQ(server_.most_outstanding(), static_cast<int>(kStreamWindow));
  EXPECT_EQ(server_.streams(), 1);
}

TEST_F(ClientTest, EstimatesWhatLoadingWouldTake) {
  const auto tokens = TestTokens(8);
  const TestBlocks blocks(8, kTypicalBlock);
  ASSERT_TRUE(client_->WritePrompt("p", tokens, 0, blocks.spans).ok());
  const auto found = client_->Lookup("p", tokens);
  ASSERT_TRUE(found.ok());
  ASSERT_EQ(found->locations.size(), 8u);
  for (const auto& location : found->locations) {
    EXPECT_GE(location.size, kTypicalBlock);
    EXPECT_EQ(location.tier, BlockTier::Ram);
  }
  EXPECT_FALSE(client_->EstimateLoad(found->locations)) << "nothing was read yet";
  TestRoom room(8, 2 * kTypicalBlock);
  EXPECT_EQ(ArrivedPrefix(client_->StreamingRead(LocationsOf(*found), room.spans)), 8u);
  const auto all = client_->EstimateLoad(found->locations);
  const auto half = client_->EstimateLoad(std::span(found->locations).first(4));
  ASSERT_TRUE(all && half);
  EXPECT_GT(half->count(), 0);
  EXPECT_GE(*all, *half);
  EXPECT_FALSE(client_->EstimateLoad(std::vector<::BlockLocation>{{1, "of an old server"}}));
}

TEST_F(ClientTest, AReadWithADeadlineBringsThePrefixThatArrivedInTime) {
  const auto tokens = TestTokens(10);
  const TestBlocks blocks(10);
  ASSERT_TRUE(client_->WritePrompt("p", tokens, 0, blocks.spans).ok());
  const auto found = client_->Lookup("p", tokens);
  ASSERT_TRUE(found.ok());
  server_.DelayReads(100);  // one behind the other
  TestRoom room(10, 6000);
  const auto reads = client_->StreamingRead(LocationsOf(*found), room.spans,
                                            {.timeout = std::chrono::milliseconds(550)});
  const size_t arrived = ArrivedPrefix(reads);
  EXPECT_LT(arrived, 10u);
  for (size_t i = 0; i < arrived; ++i) {
    EXPECT_EQ(std::memcmp(room.bytes[i].data(), blocks.bytes[i].data(), reads[i].bytes), 0);
  }
  for (size_t i = arrived; i < 10; ++i) {
    EXPECT_EQ(reads[i].status.code(), absl::StatusCode::kDeadlineExceeded);
  }
  EXPECT_EQ(ArrivedPrefix({}), 0u);
  std::vector<BlockAnswer> gap(3);
  gap[0].found = gap[2].found = true;
  EXPECT_EQ(ArrivedPrefix(gap), 1u);
}

TEST_F(ClientTest, AStreamOfNothingEndsAtOnce) {
  EXPECT_TRUE(client_->StreamingRead({}, {}).empty());
  EXPECT_EQ(server_.calls(), 0);
  const std::vector<std::string> one = {"a"};
  EXPECT_EQ(client_->StreamingRead(one, {})[0].status.code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(ClientTest, HundredsOfCallsRunAtOnce) {
  const auto tokens = TestTokens(1);
  const TestBlocks blocks(1, 5'000);
  ASSERT_TRUE(client_->WritePrompt("p", tokens, 0, blocks.spans).ok());
  const std::string location = LocationsOf(*client_->Lookup("p", tokens))[0];
  TestRoom room(kManyCalls, 5'000);
  std::atomic<int> right{0};
  absl::BlockingCounter left(2 * kManyCalls);
  for (int i = 0; i < kManyCalls; ++i) {
    client_->ReadAsync(
        location, [&room, i](size_t, size_t) { return room.spans[i]; }, {},
        [&, i](BlockAnswer answer) {
          EXPECT_TRUE(answer.status.ok()) << answer.status;
          right += answer.found && room.bytes[i] == blocks.bytes[0];
          left.DecrementCount();
        });
    client_->LookupAsync("p", tokens, {}, {}, [&](absl::StatusOr<LookupAnswer> answer) {
      EXPECT_TRUE(answer.ok()) << answer.status();
      right += answer.ok() && answer->cached_blocks == 1;
      left.DecrementCount();
    });
  }
  left.Wait();
  EXPECT_EQ(right, 2 * kManyCalls);
}

TEST_F(ClientTest, ManyPromptsAreWrittenThroughASmallWindow) {
  auto client = Client::Create({.servers = server_.address(),
                                .resource = "a",
                                .container = "c",
                                .connections = 3,
                                .write_window_bytes = 12'000});  // two blocks and a bit
  ASSERT_TRUE(client.ok());
  const auto tokens = TestTokens(40);
  const TestBlocks blocks(40);
  const auto written = (*client)->WritePrompt("p", tokens, 0, blocks.spans);
  ASSERT_TRUE(written.ok()) << written.status();
  EXPECT_EQ(written->blocks_written, 40);
  EXPECT_EQ(server_.stored().size(), 40u);
}

TEST(ClientCreate, ChecksItsOptions) {
  const ClientOptions good{.servers = "h:1", .resource = "a", .container = "c"};
  EXPECT_TRUE(Client::Create(good).ok());
  auto Code = [&](auto change) {
    ClientOptions options = good;
    change(options);
    return Client::Create(options).status().code();
  };
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  EXPECT_EQ(Code([](ClientOptions& o) { o.resource = ""; }), kInvalid);
  EXPECT_EQ(Code([](ClientOptions& o) { o.container = ""; }), kInvalid);
  EXPECT_EQ(Code([](ClientOptions& o) { o.servers = "h:"; }), kInvalid);
  EXPECT_EQ(Code([](ClientOptions& o) { o.connections = 0; }), kInvalid);
  EXPECT_EQ(Code([](ClientOptions& o) { o.timeout = std::chrono::milliseconds(0); }), kInvalid);
}

}  // namespace
}  // namespace kvstore
