#include "KVService/thread_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kvstore {
namespace {

using ::testing::HasSubstr;

std::vector<size_t> Numbers(const absl::StatusOr<ThreadPlan>& plan) {
  return {plan->queues, plan->http, plan->disk_reads, plan->disk_writes};
}

TEST(ThreadPlanTest, FollowsTheProcessorsWithoutABound) {
  EXPECT_EQ(Numbers(PlanThreads(0, 1, true, false)), (std::vector<size_t>{1, 0, 10, 2}));
  EXPECT_EQ(Numbers(PlanThreads(0, 2, true, false)), (std::vector<size_t>{1, 0, 10, 2}));
  EXPECT_EQ(Numbers(PlanThreads(0, 2, true, true)), (std::vector<size_t>{1, 2, 10, 2}));
  EXPECT_EQ(Numbers(PlanThreads(0, 2, false, true)), (std::vector<size_t>{1, 2, 0, 0}));
  EXPECT_EQ(Numbers(PlanThreads(0, 64, true, true)), (std::vector<size_t>{16, 2, 54, 10}));
}

TEST(ThreadPlanTest, KeepsToEveryBoundThatHasOneForEach) {
  for (const bool disk : {false, true}) {
    for (const bool azure : {false, true}) {
      const size_t least = 1 + (azure ? 1 : 0) + (disk ? 2 : 0);
      for (const size_t processors : {1, 2, 8, 192}) {
        for (size_t bound = least; bound <= 1024; ++bound) {
          const auto plan = PlanThreads(bound, processors, disk, azure);
          ASSERT_TRUE(plan.ok()) << plan.status();
          EXPECT_LE(plan->total(), bound);
          EXPECT_GE(plan->queues, 1);
          EXPECT_EQ(plan->http > 0, azure);
          EXPECT_EQ(plan->disk_reads > 0, disk);
          EXPECT_EQ(plan->disk_writes > 0, disk);
          if (disk) {
            EXPECT_EQ(plan->total(), bound) << "the disk gets what is left";
          }
        }
      }
    }
  }
}

TEST(ThreadPlanTest, NeverHasMoreQueuesThanTheProcessorsAreGoodFor) {
  EXPECT_EQ(PlanThreads(1024, 2, true, false)->queues, 1);
  EXPECT_EQ(PlanThreads(1024, 8, true, false)->queues, 4);
  EXPECT_EQ(Numbers(PlanThreads(16, 32, true, false)), (std::vector<size_t>{4, 0, 10, 2}));
}

TEST(ThreadPlanTest, SaysWhatTheLeastIs) {
  const auto local = PlanThreads(2, 2, true, false);
  EXPECT_TRUE(absl::IsInvalidArgument(local.status()));
  EXPECT_THAT(local.status().message(), HasSubstr("at least 3"));
  EXPECT_THAT(PlanThreads(3, 2, true, true).status().message(), HasSubstr("at least 4"));
  EXPECT_THAT(PlanThreads(1, 2, false, true).status().message(), HasSubstr("at least 2"));
}

}  // namespace
}  // namespace kvstore
