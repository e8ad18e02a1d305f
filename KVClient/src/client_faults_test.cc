// The modern surface where servers fail.
#include <atomic>
#include <cstring>
#include <set>

#include "KVClient/test/testing.h"
#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace kvstore {
namespace {

using ::testing::HasSubstr;

constexpr int kInvalidArgument = 3, kResourceExhausted = 8, kInternal = 13, kUnavailable = 14;

std::string MessageOf(const absl::Status& status) { return std::string(status.message()); }

// An address on which nothing listens.
std::string NoServer() {
  FakeServer server;
  const std::string address = server.address();
  server.Stop();
  return address;
}

TEST(ClientFaults, TheServersReasonArrives) {
  FakeServer server;
  const auto client = TestClient(server.address());
  const auto found = client->Lookup("p", {});
  EXPECT_EQ(found.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(MessageOf(found.status()), HasSubstr("tokens are missing"));
  EXPECT_THAT(MessageOf(found.status()), HasSubstr("Lookup at " + server.address()));
  EXPECT_EQ(server.calls(), 1);  // no use in trying again

  server.ReportError("the disk is gone");
  TestRoom room(1, 10);
  const auto reported = client->Read("l", room.spans[0]);
  EXPECT_EQ(reported.status.code(), absl::StatusCode::kUnknown);
  EXPECT_THAT(MessageOf(reported.status), HasSubstr("the disk is gone"));
  EXPECT_THAT(MessageOf(client->Lookup("p", TestTokens(1)).status()), HasSubstr("disk"));
  const TestBlocks blocks(1);
  const auto written = client->WritePrompt("p", TestTokens(1), 0, blocks.spans);
  EXPECT_THAT(MessageOf(written.status()), HasSubstr("block 0: the disk is gone"));
}

TEST(ClientFaults, NoServerIsUnavailable) {
  const auto client = TestClient(NoServer());
  const absl::Time start = absl::Now();
  const auto found = client->Lookup("p", TestTokens(1));
  EXPECT_EQ(found.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(MessageOf(found.status()), HasSubstr("8 attempts"));
  EXPECT_LT(absl::Now() - start, absl::Seconds(30));  // far within the deadline of 60 s
  TestRoom room(2, 10);
  for (const auto& answer : client->StreamingRead(std::vector<std::string>{"a", "b"}, room.spans)) {
    EXPECT_EQ(answer.status.code(), absl::StatusCode::kUnavailable);
  }
}

TEST(ClientFaults, TheDeadlineEndsEveryCall) {
  FakeServer server;
  server.Hang(true);
  const auto client = TestClient(server.address());
  const CallOptions soon{.timeout = std::chrono::milliseconds(100)};
  const auto kLate = absl::StatusCode::kDeadlineExceeded;
  EXPECT_EQ(client->Lookup("p", TestTokens(1), {}, soon).status().code(), kLate);
  TestRoom room(2, 10);
  EXPECT_EQ(client->Read("a", room.spans[0], soon).status.code(), kLate);
  const std::vector<std::string> two = {"a", "b"};
  EXPECT_EQ(client->StreamingRead(two, room.spans, soon)[1].status.code(), kLate);
  const TestBlocks blocks(2, kLargeBlock);
  EXPECT_EQ(client->WritePrompt("p", TestTokens(2), 0, blocks.spans, soon).status().code(), kLate);
}

// Under ASan a reference that gRPC still held to the memory would be a use after free.
TEST(ClientFaults, MemoryOfACancelledWriteMayBeFreedOnceItHasEnded) {
  FakeServer server;
  server.Hang(true);
  const auto client = TestClient(server.address());
  for (int i = 0; i < 10; ++i) {
    const TestBlocks blocks(8, kLargeBlock);
    const auto result = client->WritePrompt("p", TestTokens(8), 0, blocks.spans,
                                            {.timeout = std::chrono::milliseconds(1 + 5 * i)});
    EXPECT_EQ(result.status().code(), absl::StatusCode::kDeadlineExceeded);
  }
}

TEST(ClientFaults, OverloadIsTriedAgain) {
  FakeServer server;
  const auto client = TestClient(server.address());
  server.FailNext(2, kResourceExhausted, "busy");
  EXPECT_TRUE(client->Lookup("p", TestTokens(1)).ok());
  EXPECT_EQ(server.calls(), 3);
  server.FailNext(2, kUnavailable, "storage is away");
  const TestBlocks blocks(1);
  EXPECT_TRUE(client->WritePrompt("p", TestTokens(1), 0, blocks.spans).ok());
  EXPECT_EQ(server.stored()[0].buffer.size(), 5000u);
  server.FailNext(100, kResourceExhausted, "busy for good");
  const auto found = client->Lookup("p", TestTokens(1));
  EXPECT_EQ(found.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(MessageOf(found.status()), HasSubstr("busy for good"));
  server.FailNext(1, kInternal, "a bug");
  EXPECT_EQ(client->Lookup("p", TestTokens(1)).status().code(), absl::StatusCode::kInternal);
}

TEST(ClientFaults, ABrokenStreamIsTakenUpWhereItBroke) {
  FakeServer server;
  const auto client = TestClient(server.address());
  const auto tokens = TestTokens(20);
  const TestBlocks blocks(20);
  ASSERT_TRUE(client->WritePrompt("p", tokens, 0, blocks.spans).ok());
  const auto found = client->Lookup("p", tokens);
  server.BreakStreamsAfter(3);
  TestRoom room(20, 6000);
  const auto reads = client->StreamingRead(LocationsOf(*found), room.spans);
  for (size_t i = 0; i < reads.size(); ++i) {
    ASSERT_TRUE(reads[i].found) << i << ": " << reads[i].status;
    ASSERT_EQ(reads[i].bytes, blocks.bytes[i].size());
    EXPECT_EQ(std::memcmp(room.bytes[i].data(), blocks.bytes[i].data(), reads[i].bytes), 0);
  }
  EXPECT_EQ(server.streams(), 7);
}

TEST(ClientFaults, AStreamThatCannotGoOnGivesItsErrorToTheRest) {
  FakeServer server;
  const auto client = TestClient(server.address());
  server.FailNext(1, kInvalidArgument, "no such account");
  TestRoom room(3, 10);
  const std::vector<std::string> locations = {"a", "", "c"};
  const auto reads = client->StreamingRead(locations, room.spans);
  EXPECT_THAT(MessageOf(reads[0].status), HasSubstr("no such account"));
  EXPECT_THAT(MessageOf(reads[1].status), HasSubstr("empty"));
  EXPECT_THAT(MessageOf(reads[2].status), HasSubstr("no such account"));
}

TEST(ClientFaults, AServerThatAnswersWithoutEndIsLeft) {
  FakeServer server;
  server.FloodStreams();
  const auto client = TestClient(server.address());
  for (const size_t count : {1, 40, 300}) {
    TestRoom room(count, 10);
    const std::vector<std::string> locations(count, "a");
    for (const BlockAnswer& answer : client->StreamingRead(locations, room.spans)) {
      EXPECT_FALSE(answer.found);
      if (answer.status.ok()) continue;  // it had been asked for when the answer came
      EXPECT_EQ(answer.status.code(), absl::StatusCode::kInternal) << answer.status;
      EXPECT_THAT(MessageOf(answer.status), HasSubstr("more than it was asked"));
    }
  }
}

// Some of them past their deadlines in the midst, some on streams that break.
TEST(ClientFaults, ManyStreamsAndCallsAtATimeAllEnd) {
  FakeServer server;
  const auto client = TestClient(server.address());
  constexpr int kCalls = 24;
  const std::vector<std::string> locations(20, "a");
  const CallOptions soon{.timeout = std::chrono::milliseconds(20)};
  absl::BlockingCounter running(3 * kCalls);
  std::atomic<int> blocks = 0;
  server.BreakStreamsAfter(7);
  const auto nothing = [](size_t, size_t) { return std::span<std::byte>(); };
  for (int i = 0; i < kCalls; ++i) {
    const CallOptions call = i % 2 == 0 ? soon : CallOptions{};
    client->StreamingReadAsync(
        locations, nothing, call, [&](size_t, BlockAnswer) { ++blocks; },
        [&] { running.DecrementCount(); });
    client->LookupAsync("p", TestTokens(2), {}, call, [&](auto) { running.DecrementCount(); });
    client->ReadAsync("a", nothing, call, [&](auto) { running.DecrementCount(); });
  }
  running.Wait();
  EXPECT_EQ(blocks, kCalls * static_cast<int>(locations.size()));
}

TEST(ClientFaults, ARestartedServerIsFoundAgain) {
  FakeServer server;
  const auto client = TestClient(server.address());
  const TestBlocks blocks(1);
  ASSERT_TRUE(client->WritePrompt("p", TestTokens(1), 0, blocks.spans).ok());
  server.Stop();
  EXPECT_FALSE(
      client->Lookup("p", TestTokens(1), {}, {.timeout = std::chrono::milliseconds(300)}).ok());
  server.Start();
  const absl::Time start = absl::Now();
  const auto found = client->Lookup("p", TestTokens(1));
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->cached_blocks, 1);
  EXPECT_LT(absl::Now() - start, absl::Seconds(20));
}

TEST(ClientFaults, AnotherServerTakesOverAndTheFirstComesBack) {
  FakeServer one, other;
  const auto client = TestClient(one.address() + "," + other.address());
  ASSERT_TRUE(client->Lookup("p", TestTokens(1)).ok());
  FakeServer& first = one.calls() == 1 ? one : other;  // the partition's home
  FakeServer& second = one.calls() == 1 ? other : one;
  EXPECT_EQ(first.calls(), 1);
  first.Stop();
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(client->Lookup("p", TestTokens(1)).ok());
  EXPECT_EQ(second.calls(), 5);
  TestRoom room(1, 10);
  EXPECT_TRUE(client->StreamingRead(std::vector<std::string>{"a"}, room.spans)[0].status.ok());
  first.Start();
  const absl::Time deadline = absl::Now() + absl::Seconds(30);
  while (first.calls() < 2 && absl::Now() < deadline) {
    ASSERT_TRUE(client->Lookup("p", TestTokens(1)).ok());
    absl::SleepFor(absl::Milliseconds(20));
  }
  EXPECT_GE(first.calls(), 2);
}

TEST(ClientFaults, APromptsFirstErrorIsGiven) {
  FakeServer server;
  const auto client = TestClient(server.address());
  server.FailNext(1, kInternal, "a bug");
  const TestBlocks blocks(3);
  const auto result = client->WritePrompt("p", TestTokens(3), 0, blocks.spans);
  EXPECT_EQ(result.status().code(), absl::StatusCode::kInternal);
  EXPECT_THAT(MessageOf(result.status()), HasSubstr("block "));
}

TEST(ClientFaults, CallsOutliveTheirClient) {
  FakeServer server;
  server.Hang(true);
  auto client = TestClient(server.address());
  absl::Notification ended;
  bool ok = false;
  client->LookupAsync("p", TestTokens(1), {}, {}, [&](absl::StatusOr<LookupAnswer> answer) {
    ok = answer.ok();
    ended.Notify();
  });
  client.reset();
  server.Hang(false);
  ended.WaitForNotification();
  EXPECT_TRUE(ok);
}

TEST(ClientIds, EveryCallHasAnIdThatItsErrorNames) {
  FakeServer server;
  const auto client = TestClient(server.address());
  ASSERT_TRUE(client->Lookup("p", TestTokens(1)).ok());
  ASSERT_TRUE(client->Lookup("p", TestTokens(1)).ok());
  const auto failed = client->Lookup("p", {});
  const std::vector<std::string> ids = server.metadata("x-request-id");
  ASSERT_EQ(ids.size(), 3u);
  for (const std::string& id : ids) EXPECT_THAT(id, ::testing::MatchesRegex("[0-9a-f]{16}"));
  EXPECT_EQ(std::set<std::string>(ids.begin(), ids.end()).size(), 3u);
  EXPECT_THAT(MessageOf(failed.status()), HasSubstr("(request " + ids[2] + ")"));
  EXPECT_EQ(server.metadata("traceparent"), std::vector<std::string>(3));
}

TEST(ClientIds, AllThatACallSendsHasTheIdsThatItWasGiven) {
  constexpr char kTrace[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  FakeServer server;
  std::string log;
  auto client = Client::Create({.servers = server.address(),
                                .resource = "acct",
                                .container = "models",
                                .log = [&log](LogLevel, const std::string& line) { log += line; }});
  const CallOptions call{.request_id = "chat-7", .traceparent = kTrace, .tracestate = "a=1, b=2"};
  const TestBlocks blocks(2);
  ASSERT_TRUE((*client)->WritePrompt("p", TestTokens(2), 0, blocks.spans, call).ok());
  server.FailNext(1, kUnavailable, "busy");
  const auto found = (*client)->Lookup("p", TestTokens(2), {}, call);
  ASSERT_TRUE(found.ok());
  TestRoom room(2, 6000);
  (*client)->StreamingRead(LocationsOf(*found), room.spans, call);
  (*client)->Read(found->locations[0].location, room.spans[0], call);
  // Two blocks, two attempts, a stream and a read.
  EXPECT_EQ(server.metadata("x-request-id"), std::vector<std::string>(6, "chat-7"));
  EXPECT_EQ(server.metadata("traceparent"), std::vector<std::string>(6, kTrace));
  EXPECT_EQ(server.metadata("tracestate"), std::vector<std::string>(6, "a=1,b=2"));
  EXPECT_THAT(log, HasSubstr("(request chat-7) is tried again"));
}

// gRPC would end the process.
TEST(ClientIds, WhatIsNotFitToBeSentIsNot) {
  FakeServer server;
  const auto client = TestClient(server.address());
  ASSERT_TRUE(
      client
          ->Lookup(
              "p", TestTokens(1), {},
              {.request_id = "a\r\nauthorization: b", .traceparent = "00-\n", .tracestate = "a=1"})
          .ok());
  ASSERT_EQ(server.metadata("x-request-id").size(), 1u);
  EXPECT_THAT(server.metadata("x-request-id")[0], ::testing::MatchesRegex("[0-9a-f]{16}"));
  EXPECT_EQ(server.metadata("traceparent"), std::vector<std::string>{""});
  EXPECT_EQ(server.metadata("tracestate"), std::vector<std::string>{""}) << "of no trace";
}

}  // namespace
}  // namespace kvstore
