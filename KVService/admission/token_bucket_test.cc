#include "KVService/admission/token_bucket.h"

#include <gtest/gtest.h>

namespace kvstore {
namespace {

using std::chrono::milliseconds;

class TokenBucketTest : public testing::Test {
 protected:
  TokenBucketTest() { bucket_.SetRate(100, now_); }

  TokenBucket::Time now_ = TokenBucket::Time{} + std::chrono::hours(1);
  TokenBucket bucket_;
};

TEST_F(TokenBucketTest, GivesASecondsWorthAtOnceAndThenTheRate) {
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(bucket_.Wait(now_).count(), 0) << i;
    bucket_.Take(1, now_);
  }
  EXPECT_GT(bucket_.Wait(now_).count(), 0);
  now_ += milliseconds(500);
  for (int i = 0; i < 50; ++i) {
    ASSERT_EQ(bucket_.Wait(now_).count(), 0) << i;
    bucket_.Take(1, now_);
  }
  EXPECT_GT(bucket_.Wait(now_).count(), 0);
}

TEST_F(TokenBucketTest, SaysHowLongADebtIsWaitedFor) {
  bucket_.Take(400, now_);  // three seconds' worth more than there is
  const milliseconds wait = bucket_.Wait(now_);
  EXPECT_GE(wait, milliseconds(3000));
  EXPECT_LE(wait, milliseconds(3010));
  EXPECT_EQ(bucket_.Wait(now_ + wait).count(), 0);
}

TEST_F(TokenBucketTest, SavesNoMoreThanASecondsWorth) {
  now_ += std::chrono::hours(1);
  bucket_.Take(100, now_);
  EXPECT_GT(bucket_.Wait(now_).count(), 0);
}

TEST_F(TokenBucketTest, AnotherRateForgivesNoDebt) {
  bucket_.Take(200, now_);
  bucket_.SetRate(1000, now_);
  EXPECT_GE(bucket_.Wait(now_), milliseconds(100));
  EXPECT_FALSE(bucket_.Full(now_));
  EXPECT_TRUE(bucket_.Full(now_ + std::chrono::seconds(2)));
}

}  // namespace
}  // namespace kvstore
