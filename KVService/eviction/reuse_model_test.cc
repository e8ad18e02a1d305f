#include "KVService/eviction/reuse_model.h"

#include <gtest/gtest.h>

namespace kvstore {
namespace {

float WorthAt(const ReuseModel& model, int block_class, uint32_t age) {
  return model.Worth(block_class, ReuseModel::AgeBucket(age));
}

TEST(ReuseModel, BucketsAreTwoAnOctave) {
  int last = 0;
  for (uint32_t age = 0; age < 1000; ++age) {
    const int bucket = ReuseModel::AgeBucket(age);
    EXPECT_GE(bucket, last);
    EXPECT_LE(bucket, last + 1);
    last = bucket;
  }
  EXPECT_EQ(ReuseModel::AgeBucket(1023) + 1, ReuseModel::AgeBucket(1024));
  EXPECT_EQ(ReuseModel::AgeBucket(1024) + 1, ReuseModel::AgeBucket(1536));
  EXPECT_EQ(ReuseModel::AgeBucket(UINT32_MAX), ReuseModel::kAges - 1);
}

TEST(ReuseModel, WithoutEvidenceTheYoungerIsWorthMore) {
  ReuseModel model;
  for (uint32_t age = 1; age < 1'000'000; age *= 2) {
    EXPECT_GT(WorthAt(model, 0, age), WorthAt(model, 3, age * 2));
  }
}

TEST(ReuseModel, ABlockIsWorthMostJustBeforeItIsUsed) {
  ReuseModel model;
  for (int i = 0; i < 100; ++i) model.Record(0, 100, i % 2 == 0);
  for (int i = 0; i < 50; ++i) model.Record(0, 1000, false);
  model.Learn(0, {});
  EXPECT_GT(WorthAt(model, 0, 90), WorthAt(model, 0, 0));
  EXPECT_GT(WorthAt(model, 0, 0), WorthAt(model, 0, 300));
  EXPECT_GT(WorthAt(model, 0, 0), 0.002);  // about one use in two, 100 lookups away
  EXPECT_LT(WorthAt(model, 0, 0), 0.008);
}

TEST(ReuseModel, TellsClassesApartAndPresumesTheyAreAlike) {
  ReuseModel model;
  for (int i = 0; i < 200; ++i) {
    // Those that are not used again are watched for long.
    model.Record(0, i % 10 == 0 ? 100 : 2000, i % 10 == 0);
    model.Record(1, i % 10 != 0 ? 100 : 2000, i % 10 != 0);
  }
  model.Learn(0, {});
  EXPECT_GT(WorthAt(model, 1, 0), 4 * WorthAt(model, 0, 0));
  // Of class 2 nothing is known.
  EXPECT_GT(WorthAt(model, 2, 0), WorthAt(model, 0, 0));
  EXPECT_LT(WorthAt(model, 2, 0), WorthAt(model, 1, 0));
}

TEST(ReuseModel, BlocksThatAreUsedTogetherAreOnePieceOfEvidence) {
  // Of class 1 forty came back at once, in the one model one by one and in the other all together.
  const auto learn = [](int together) {
    ReuseModel model;
    for (int i = 0; i < 400; ++i) {
      const bool reused = i % 10 == 0;
      model.Record(0, reused ? 100 : 2000, reused);
      if (i < 40) model.Record(1, 100, true);
      if (i % together == 0) model.NextLookup();
    }
    model.NextLookup();
    model.Learn(0, {});
    return WorthAt(model, 1, 0) / WorthAt(model, 0, 0);
  };
  EXPECT_GT(learn(1), 1.5 * learn(400));
}

TEST(ReuseModel, WhatIsNewTellsWithoutRegardToTheTurn) {
  ReuseModel model;
  const auto record = [&](uint32_t turn, uint32_t news, int reused_of_10) {
    for (int i = 0; i < 200; ++i) {
      const bool reused = i % 10 < reused_of_10;
      model.Record(ReuseModel::ClassOf(0, turn, news, 0), reused ? 100 : 2000, reused);
      model.NextLookup();
    }
  };
  record(0, 0, 8);
  record(0, 3, 1);
  record(1, 1, 4);
  model.Learn(0, {});
  // Of these nothing was seen.
  EXPECT_GT(WorthAt(model, ReuseModel::ClassOf(0, 1, 0, 0), 0),
            1.5 * WorthAt(model, ReuseModel::ClassOf(0, 1, 3, 0), 0));
}

TEST(ReuseModel, ThoseThatWaitStillCount) {
  ReuseModel alone, waiting;
  for (int i = 0; i < 50; ++i) {
    alone.Record(0, 100, true);
    waiting.Record(0, 100, true);
  }
  ReuseModel::Watched watched{};
  alone.Learn(0, watched);
  watched[0][ReuseModel::AgeBucket(400)] = 450;
  waiting.Learn(0, watched);
  EXPECT_GT(WorthAt(alone, 0, 0), 5 * WorthAt(waiting, 0, 0));
}

TEST(ReuseModel, ForgetsWhatIsNoLongerSo) {
  ReuseModel model;
  for (int i = 0; i < 50'000; ++i) model.Record(0, 10, true);
  model.Learn(0, {});
  const float before = WorthAt(model, 0, 0);
  for (int i = 0; i < 200'000; ++i) {
    model.Record(0, 1000, true);
    if (i % 4096 == 0) model.Forget();
  }
  model.Learn(0, {});
  EXPECT_LT(WorthAt(model, 0, 0), before / 20);
}

}  // namespace
}  // namespace kvstore
