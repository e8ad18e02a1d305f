#include "KVClient/src/retry.h"

#include "KVClient/src/call_queue.h"
#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"

namespace kvstore::client {
namespace {

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

TEST(RetryBudget, IsATenthOfTheCallsAndAStock) {
  RetryBudget budget;
  int stock = 0;
  while (budget.Take(false)) ASSERT_LT(++stock, 1'000);
  EXPECT_GE(stock, 50);
  for (int i = 0; i < 1'000; ++i) budget.Called();
  int earned = 0;
  while (budget.Take(false)) ++earned;
  EXPECT_EQ(earned, 100);
}

TEST(RetryBudget, WhoseServerIsGoneHasALargerStock) {
  RetryBudget budget;
  while (budget.Take(false)) continue;
  int moves = 0;
  while (budget.Take(true)) ASSERT_LT(++moves, 10'000);
  EXPECT_GE(moves, 1'000);
  EXPECT_FALSE(budget.Take(false));
}

}  // namespace
}  // namespace kvstore::client
