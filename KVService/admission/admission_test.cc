#include "KVService/admission/admission.h"

#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <thread>

#include "KVService/admission/overload.h"
#include "absl/synchronization/notification.h"

namespace kvstore {
namespace {

constexpr int64_t kMiB = 1 << 20;

class AdmissionTest : public testing::Test {
 protected:
  // A call that stays until it is reset.
  absl::Status Admit(uint64_t connection, std::string_view tenant = "",
                     const TenantLimits& limits = {}) {
    return admission_.Admit(connection, tenant, limits, &calls_.emplace_back());
  }
  static void Nothing() {}

  Admission admission_{{.calls = 90, .upload_bytes = 100 * kMiB, .answer_bytes = 90 * kMiB}};
  std::deque<Admission::Call> calls_;
};

TEST_F(AdmissionTest, AConnectionAloneGetsTwoThirdsOfTheCallsAndAnotherGetsSome) {
  int flood = 0;
  while (Admit(1).ok()) ++flood;
  EXPECT_EQ(flood, 60);
  const absl::Status refused = Admit(1);
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_GT(RetryHint(refused).count(), 0);
  EXPECT_TRUE(Admit(2).ok());
  EXPECT_EQ(admission_.stats().calls, 61);
  EXPECT_EQ(admission_.stats().refused, 2);
  calls_.clear();
  EXPECT_EQ(admission_.stats().calls, 0);
  EXPECT_TRUE(Admit(1).ok());
}

TEST_F(AdmissionTest, ATenantIsOnePartyOverAllItsConnections) {
  int flood = 0;
  while (Admit(static_cast<uint64_t>(flood), "flood").ok()) ++flood;
  EXPECT_EQ(flood, 60);
  EXPECT_TRUE(Admit(1, "other").ok());
}

TEST_F(AdmissionTest, ATenantsOwnLimitOfCallsHolds) {
  const TenantLimits two = {.calls = 2};
  EXPECT_TRUE(Admit(1, "a", two).ok());
  EXPECT_TRUE(Admit(2, "a", two).ok());
  EXPECT_EQ(Admit(3, "a", two).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(Admit(3, "b", two).ok());
  calls_.pop_front();
  EXPECT_TRUE(Admit(1, "a", two).ok());
}

TEST_F(AdmissionTest, ATenantsRateOfCallsHoldsWhileItHasNone) {
  const TenantLimits ten = {.calls_per_second = 10};
  int admitted = 0;
  absl::Status status;
  while ((status = Admit(1, "a", ten)).ok()) {
    ++admitted;
    calls_.clear();
    ASSERT_LT(admitted, 1000);
  }
  EXPECT_GE(admitted, 10);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_GT(RetryHint(status).count(), 0);
  EXPECT_LE(RetryHint(status).count(), 150);
  EXPECT_TRUE(Admit(1, "b", ten).ok());
}

TEST_F(AdmissionTest, ATenantsRateOfBytesCountsBothWaysAndRequestsOfAStream) {
  const TenantLimits rate = {.bytes_per_second = kMiB};
  ASSERT_TRUE(Admit(1, "a", rate).ok());
  Admission::Call& call = calls_.back();
  EXPECT_TRUE(admission_.AdmitAgain(&call).ok());
  ASSERT_TRUE(admission_.HoldAnswer(&call, 5 * kMiB, false, Nothing).ok());
  const absl::Status refused = admission_.AdmitAgain(&call);
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_GT(RetryHint(refused).count(), 3000);
  EXPECT_FALSE(Admit(2, "a", rate).ok());
  ASSERT_TRUE(Admit(2, "b", rate).ok());
  ASSERT_TRUE(admission_.AwaitUpload(&calls_.back(), Nothing, [] {}).ok());
  admission_.Received(&calls_.back(), 3 * kMiB);
  EXPECT_FALSE(Admit(2, "b", rate).ok());
}

TEST_F(AdmissionTest, UploadsWaitUntilWhatIsExpectedFits) {
  int started = 0;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(Admit(1).ok());
    ASSERT_TRUE(admission_.AwaitUpload(&calls_.back(), Nothing, [&] { ++started; }).ok());
  }
  EXPECT_EQ(started, 1) << "it may be as large as any";
  EXPECT_EQ(admission_.stats().waiting_uploads, 2);
  admission_.Received(&calls_[0], 10 * kMiB);
  EXPECT_EQ(started, 1) << "the next may be large, too";
  admission_.LetGoOfUpload(&calls_[0]);
  EXPECT_EQ(started, 2);
  calls_.clear();
  EXPECT_EQ(started, 3) << "whose call ends has let go";
  EXPECT_EQ(admission_.stats().upload_bytes, 0);
}

TEST_F(AdmissionTest, SmallUploadsMakeMoreGoTogetherAndALargeOneFewer) {
  const auto upload = [&](int64_t bytes) {
    EXPECT_TRUE(Admit(1).ok());
    EXPECT_TRUE(admission_.AwaitUpload(&calls_.back(), Nothing, [] {}).ok());
    admission_.Received(&calls_.back(), bytes);
    calls_.clear();
  };
  const auto together = [&] {
    int started = 0;
    for (int i = 0; i < 50; ++i) {
      EXPECT_TRUE(Admit(1).ok());
      EXPECT_TRUE(admission_.AwaitUpload(&calls_.back(), Nothing, [&] { ++started; }).ok());
    }
    const int at_once = started;
    for (Admission::Call& call : calls_) admission_.Received(&call, 0);  // none came
    calls_.clear();
    return at_once;
  };
  EXPECT_EQ(together(), 1);
  for (int i = 0; i < 500; ++i) upload(kMiB);
  EXPECT_EQ(together(), 50);
  upload(90 * kMiB);
  EXPECT_EQ(together(), 1);
}

TEST_F(AdmissionTest, TooManyWaitingUploadsAreRefused) {
  Admission admission({.calls = 100'000, .upload_bytes = 100 * kMiB});
  std::deque<Admission::Call> calls;
  int waiting = 0;
  absl::Status status;
  for (int i = 0; i < 1000 && status.ok(); ++i, ++waiting) {
    ASSERT_TRUE(admission.Admit(1, "", {}, &calls.emplace_back()).ok());
    status = admission.AwaitUpload(&calls.back(), Nothing, [] {});
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_LT(waiting, Admission::kWaitingUploads);
  ASSERT_TRUE(admission.Admit(2, "", {}, &calls.emplace_back()).ok());
  EXPECT_TRUE(admission.AwaitUpload(&calls.back(), Nothing, [] {}).ok()) << "another's share";
}

TEST_F(AdmissionTest, ASlowUploadIsEndedWhereOthersWait) {
  Admission admission({.upload_bytes = 1});  // one at a time
  for (int i = 0; i < 1000; ++i) {           // after which small ones are expected
    Admission::Call call;
    ASSERT_TRUE(admission.Admit(1, "", {}, &call).ok());
    ASSERT_TRUE(admission.AwaitUpload(&call, Nothing, [] {}).ok());
    admission.Received(&call, 1);
  }
  absl::Notification ended, started;
  Admission::Call slow, other;
  ASSERT_TRUE(admission.Admit(1, "", {}, &slow).ok());
  ASSERT_TRUE(admission
                  .AwaitUpload(
                      &slow, [&] { ended.Notify(); }, [] {})
                  .ok());
  ASSERT_TRUE(admission.Admit(2, "", {}, &other).ok());
  ASSERT_TRUE(admission.AwaitUpload(&other, Nothing, [&] { started.Notify(); }).ok());
  ended.WaitForNotification();
  EXPECT_FALSE(started.HasBeenNotified());
  admission.Received(&slow, 0);
  admission.LetGoOfUpload(&slow);
  EXPECT_TRUE(started.HasBeenNotified());
  EXPECT_EQ(admission.stats().ended, 1);
}

TEST_F(AdmissionTest, AnswersThatNobodyTakesAreBounded) {
  ASSERT_TRUE(Admit(1).ok());
  ASSERT_TRUE(admission_.HoldAnswer(&calls_[0], 60 * kMiB, false, Nothing).ok());
  ASSERT_TRUE(Admit(1).ok());
  const absl::Status refused = admission_.HoldAnswer(&calls_[1], 10 * kMiB, false, Nothing);
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_GT(RetryHint(refused).count(), 0);
  EXPECT_EQ(admission_.stats().answer_bytes, 60 * kMiB);
  admission_.Sent(&calls_[0]);
  EXPECT_TRUE(admission_.HoldAnswer(&calls_[1], 10 * kMiB, false, Nothing).ok());
  calls_.clear();
  EXPECT_EQ(admission_.stats().answer_bytes, 0);
}

TEST_F(AdmissionTest, AConnectionsAnswersGoAFewAtATime) {
  std::vector<int> sent;
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(Admit(1).ok());
    admission_.AwaitSend(&calls_.back(), [&sent, i] { sent.push_back(i); });
  }
  EXPECT_EQ(sent, (std::vector{0, 1}));
  ASSERT_TRUE(Admit(2).ok());
  admission_.AwaitSend(&calls_.back(), [&sent] { sent.push_back(10); });
  EXPECT_EQ(sent, (std::vector{0, 1, 10})) << "another connection's";
  admission_.Sent(&calls_[1]);
  EXPECT_EQ(sent, (std::vector{0, 1, 10, 2}));
  admission_.Sent(&calls_[1]);
  EXPECT_EQ(sent.size(), 4) << "once";
  calls_.pop_front();
  EXPECT_EQ(sent.back(), 3) << "whose call has ended has sent";
  calls_.clear();
  EXPECT_EQ(sent.back(), 4);
}

TEST(OverloadTest, AnyExhaustionHasAHint) {
  EXPECT_EQ(RetryHint(OverloadedError("busy", std::chrono::milliseconds(1234))).count(), 1234);
  EXPECT_EQ(RetryHint(absl::ResourceExhaustedError("full")), kDefaultRetryHint);
}

// Under ThreadSanitizer: calls come, hold and go on many threads.
TEST(AdmissionThreadsTest, ManyThreadsEndWithNothingHeld) {
  Admission admission({.calls = 64, .upload_bytes = 8 * kMiB, .answer_bytes = 8 * kMiB});
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&admission, t] {
      const TenantLimits limits = {.bytes_per_second = t == 0 ? 100 * kMiB : 0};
      for (int i = 0; i < 2000; ++i) {
        Admission::Call call;
        if (!admission.Admit(t, t % 2 == 0 ? "tenant" : "", limits, &call).ok()) continue;
        if (i % 2 == 0) {
          std::atomic<bool> mine = false;
          if (!admission
                   .AwaitUpload(
                       &call, [] {}, [&] { mine = true; })
                   .ok())
            continue;
          while (!mine) std::this_thread::yield();
          admission.Received(&call, kMiB);
          admission.LetGoOfUpload(&call);
        }
        if (!admission.HoldAnswer(&call, kMiB, i % 3 == 0, [] {}).ok()) continue;
        std::atomic<bool> mine = false;
        admission.AwaitSend(&call, [&] { mine = true; });
        while (!mine) std::this_thread::yield();
        admission.Sent(&call);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const AdmissionStats stats = admission.stats();
  EXPECT_EQ(stats.calls, 0);
  EXPECT_EQ(stats.upload_bytes, 0);
  EXPECT_EQ(stats.answer_bytes, 0);
  EXPECT_EQ(stats.waiting_uploads, 0);
}

}  // namespace
}  // namespace kvstore
