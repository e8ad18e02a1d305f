#include "KVService/admission/held_bytes.h"

#include <gtest/gtest.h>

#include <deque>

namespace kvstore {
namespace {

constexpr int64_t kMiB = 1 << 20;

class HeldBytesTest : public testing::Test {
 protected:
  // Whether it may, and then it does.
  bool Take(PartyId party, int64_t bytes, bool must = false) {
    HeldBytes::Hold& hold = holds_.emplace_back();
    const size_t number = holds_.size() - 1;
    return held_.Take(
        party, bytes, must, &hold, [this, number] { ended_.push_back(number); }, now_);
  }
  void LetGoOfAll() {
    for (HeldBytes::Hold& hold : holds_) held_.LetGo(&hold);
  }

  HeldBytes held_{90 * kMiB};
  std::deque<HeldBytes::Hold> holds_;
  std::vector<size_t> ended_;
  HeldBytes::Clock::time_point now_ = HeldBytes::Clock::now();
};

TEST_F(HeldBytesTest, OneAloneGetsTwoThirdsAndTheNextGetsSomething) {
  int64_t flood = 0;
  while (Take(1, kMiB)) flood += kMiB;
  EXPECT_EQ(flood, 60 * kMiB);
  int64_t other = 0;
  while (Take(2, kMiB)) other += kMiB;
  EXPECT_EQ(other, 20 * kMiB);
  EXPECT_TRUE(Take(3, kMiB));
  LetGoOfAll();
  EXPECT_EQ(held_.bytes(), 0);
  EXPECT_TRUE(Take(1, 30 * kMiB));
  LetGoOfAll();
}

TEST_F(HeldBytesTest, WhatIsLargerThanAllGoesAlone) {
  EXPECT_TRUE(Take(1, 500 * kMiB));
  EXPECT_FALSE(Take(2, 1));
  LetGoOfAll();
}

TEST_F(HeldBytesTest, WhoMustIsNotRefused) {
  EXPECT_TRUE(Take(1, 60 * kMiB));
  EXPECT_FALSE(Take(1, 60 * kMiB));
  EXPECT_TRUE(Take(1, 60 * kMiB, /*must=*/true));
  EXPECT_EQ(held_.bytes(), 120 * kMiB);
  LetGoOfAll();
}

TEST_F(HeldBytesTest, TheSlowAreEndedWhereOthersNeedWhatTheyHoldAndNotBefore) {
  ASSERT_TRUE(Take(1, kMiB));
  now_ += HeldBytes::kPatience + std::chrono::seconds(1);
  ASSERT_TRUE(Take(1, 58 * kMiB));
  EXPECT_TRUE(ended_.empty()) << "nobody needed it";
  EXPECT_FALSE(Take(1, 10 * kMiB));
  EXPECT_EQ(ended_, (std::vector<size_t>{0})) << "the old one; the new one has its time";
  EXPECT_EQ(held_.ended(), 1);
  EXPECT_FALSE(Take(1, 10 * kMiB));
  EXPECT_EQ(ended_.size(), 1) << "told once";
  LetGoOfAll();
}

TEST_F(HeldBytesTest, LargeOnesHaveMoreTime) {
  ASSERT_TRUE(Take(1, 59 * kMiB));
  now_ += HeldBytes::kPatience + std::chrono::seconds(4);
  held_.EndSlowest(now_);
  EXPECT_TRUE(ended_.empty());
  now_ += std::chrono::seconds(2);
  held_.EndSlowest(now_);
  EXPECT_EQ(ended_.size(), 1);
  LetGoOfAll();
}

TEST_F(HeldBytesTest, NoMoreAreEndedThanIsNeeded) {
  for (int i = 0; i < 60; ++i) ASSERT_TRUE(Take(1, kMiB));
  now_ += std::chrono::minutes(1);
  held_.EndSlowest(now_);
  EXPECT_EQ(ended_.size(), 12);  // an eighth of 90, rounded up
  held_.EndSlowest(now_);
  EXPECT_EQ(ended_.size(), 12) << "those are on their way";
  LetGoOfAll();
}

}  // namespace
}  // namespace kvstore
