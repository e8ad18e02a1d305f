#include "KVClient/src/server_set.h"

#include "KVClient/src/retry.h"
#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"

namespace kvstore::client {
namespace {

constexpr int64_t kRest = std::chrono::nanoseconds(kServerRest).count();

TEST(ServerSet, PassesOverAFailedServerUntilItHasRested) {
  ServerSet servers({"a:1", "b:1"}, 1);
  EXPECT_EQ(servers.Pick(1), 0u);
  EXPECT_TRUE(servers.MarkDown(0, 1));
  EXPECT_FALSE(servers.MarkDown(0, 1));  // no news
  EXPECT_EQ(servers.Pick(2), 1u);
  EXPECT_EQ(servers.Pick(1 + kRest), 0u);  // the probe
  EXPECT_EQ(servers.Pick(1 + kRest), 1u);  // one is enough
  EXPECT_TRUE(servers.MarkUp(0));
  EXPECT_FALSE(servers.MarkUp(0));
  EXPECT_EQ(servers.Pick(2 + kRest), 0u);
}

TEST(ServerSet, TriesTheOneThatRestedLongestWhereAllAreDown) {
  ServerSet servers({"a:1", "b:1"}, 1);
  servers.MarkDown(1, 5);
  servers.MarkDown(0, 9);
  EXPECT_FALSE(servers.AnyUp());
  EXPECT_EQ(servers.Pick(10), 1u);
}

TEST(ChannelPool, IsSharedWhileItIsInUse) {
  const auto pool = ChannelPool::Get("shared:1", 2);
  EXPECT_EQ(ChannelPool::Get("shared:1", 2), pool);
  EXPECT_NE(ChannelPool::Get("shared:1", 3), pool);
  EXPECT_NE(ChannelPool::Get("shared:2", 2), pool);
}

TEST(ChannelPool, ChoosesTheConnectionWithTheLeastOnTheWay) {
  const auto pool = ChannelPool::Get("load:1", 2);
  auto large = pool->Acquire(1000);
  grpc::GenericStub* const busy = &large.stub();
  const auto small = pool->Acquire(10);
  const auto another = pool->Acquire(10);
  EXPECT_NE(&small.stub(), busy);
  EXPECT_NE(&another.stub(), busy);
  large = ChannelPool::Lease();  // ends that call
  EXPECT_EQ(&pool->Acquire(10).stub(), busy);
}

TEST(Retry, RepeatsOnlyWhatPasses) {
  const auto deadline = Clock::now() + std::chrono::hours(1);
  for (const auto code : {absl::StatusCode::kInvalidArgument, absl::StatusCode::kDeadlineExceeded,
                          absl::StatusCode::kInternal, absl::StatusCode::kCancelled}) {
    EXPECT_FALSE(RetryState(deadline).Next(absl::Status(code, ""), true).has_value());
  }
  EXPECT_TRUE(RetryState(deadline).Next(absl::UnavailableError(""), false).has_value());
  EXPECT_TRUE(RetryState(deadline).Next(absl::ResourceExhaustedError(""), false).has_value());
}

TEST(Retry, EndsWithItsAttemptsAndItsDeadline) {
  RetryState retry(Clock::now() + std::chrono::hours(1));
  while (const auto delay = retry.Next(absl::UnavailableError(""), false)) {
    EXPECT_LE(*delay, kMaxBackoff);
    ASSERT_LE(retry.attempts(), kMaxAttempts);
  }
  EXPECT_EQ(retry.attempts(), kMaxAttempts);
  retry.Progress();
  EXPECT_TRUE(retry.Next(absl::UnavailableError(""), false).has_value());
  EXPECT_FALSE(RetryState(Clock::now()).Next(absl::UnavailableError(""), true).has_value());
}

TEST(Retry, GoesToAnotherServerAtOnce) {
  RetryState retry(Clock::now() + std::chrono::hours(1));
  EXPECT_EQ(retry.Next(absl::UnavailableError(""), true), std::chrono::milliseconds(0));
}

TEST(Retry, TimerRunsItsTask) {
  absl::Notification ran;
  RunAfter(std::chrono::milliseconds(1), [&] { ran.Notify(); });
  ran.WaitForNotification();
}

}  // namespace
}  // namespace kvstore::client
