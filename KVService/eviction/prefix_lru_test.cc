#include "KVService/eviction/prefix_lru.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace kvstore {
namespace {

std::vector<uint32_t> Drain(PrefixLru lru) {
  std::vector<uint32_t> order;
  while (std::optional<uint32_t> slot = lru.Coldest()) {
    order.push_back(*slot);
    lru.Erase(*slot);
  }
  return order;
}

TEST(PrefixLru, GivesUpAPromptFromItsEnd) {
  PrefixLru lru;
  lru.Insert(0, std::nullopt);
  lru.Insert(1, 0);
  lru.Insert(2, 1);
  lru.Insert(3, 2);
  EXPECT_THAT(Drain(lru), testing::ElementsAre(3, 2, 1, 0));
}

TEST(PrefixLru, KeepsASharedRootLongest) {
  PrefixLru lru;
  lru.Insert(0, std::nullopt);  // a system prompt
  lru.Insert(1, 0);             // two conversations behind it
  lru.Insert(2, 1);
  lru.Touch(0);
  lru.Insert(3, 0);
  lru.Insert(4, 3);
  EXPECT_THAT(Drain(lru), testing::ElementsAre(2, 1, 4, 3, 0));
}

TEST(PrefixLru, ATouchedPromptIsTheHottest) {
  PrefixLru lru;
  for (uint32_t slot : {0u, 10u}) {
    lru.Insert(slot, std::nullopt);
    lru.Insert(slot + 1, slot);
  }
  lru.Touch(1);
  lru.Touch(0);
  EXPECT_THAT(Drain(lru), testing::ElementsAre(11, 10, 1, 0));
}

TEST(PrefixLru, AnUnknownParentIsNone) {
  PrefixLru lru;
  lru.Insert(5, 99);
  lru.Insert(6, 98);
  EXPECT_THAT(Drain(lru), testing::ElementsAre(5, 6));
}

TEST(PrefixLru, AgreesWithAListThatIsSimplerAndSlow) {
  std::mt19937 random(7);
  PrefixLru lru;
  std::vector<uint32_t> model;  // coldest first
  for (int step = 0; step < 20'000; ++step) {
    const uint32_t slot = random() % 50;
    const auto at = std::find(model.begin(), model.end(), slot);
    ASSERT_EQ(lru.Contains(slot), at != model.end());
    if (at == model.end()) {
      const uint32_t parent = random() % 50;
      lru.Insert(slot, parent);
      model.insert(std::find(model.begin(), model.end(), parent), slot);
    } else if (random() % 2) {
      lru.Touch(slot);
      model.erase(at);
      model.push_back(slot);
    } else {
      lru.Erase(slot);
      model.erase(at);
    }
    ASSERT_EQ(lru.Coldest(), model.empty() ? std::nullopt : std::optional(model.front()));
  }
  EXPECT_EQ(Drain(lru), model);
}

}  // namespace
}  // namespace kvstore
