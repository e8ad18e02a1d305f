#include "KVCommon/chunked_vector.h"

#include <gtest/gtest.h>

#include <string>

namespace kvstore {
namespace {

TEST(ChunkedVector, ReferencesOutliveGrowth) {
  ChunkedVector<std::string, 4> vector;
  std::string& first = vector.PushBack("first");
  for (int i = 1; i < 100; ++i) vector.PushBack(std::to_string(i));
  EXPECT_EQ(&first, &vector[0]);
  EXPECT_EQ(first, "first");
  EXPECT_EQ(vector[99], "99");
  EXPECT_EQ(vector.size(), 100u);
}

TEST(ChunkedVector, GrowsToAndNeverShrinks) {
  ChunkedVector<int, 4> vector;
  EXPECT_TRUE(vector.empty());
  vector.GrowTo(9);
  EXPECT_EQ(vector.size(), 9u);
  EXPECT_EQ(vector[8], 0);
  vector.GrowTo(2);
  EXPECT_EQ(vector.size(), 9u);
  EXPECT_GE(vector.MemoryBytes(), 12 * sizeof(int));
}

TEST(ChunkedVector, WhatWasPoppedIsNewWhenItComesBack) {
  ChunkedVector<int, 4> vector;
  vector.PushBack(7);
  vector.PopBack();
  EXPECT_TRUE(vector.empty());
  vector.GrowTo(1);
  EXPECT_EQ(vector[0], 0);
}

}  // namespace
}  // namespace kvstore
