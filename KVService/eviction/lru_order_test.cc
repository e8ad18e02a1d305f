#include "KVService/eviction/lru_order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace kvstore {
namespace {

std::vector<uint32_t> Drain(LruOrder lru) {
  std::vector<uint32_t> order;
  while (std::optional<uint32_t> slot = lru.Coldest()) {
    order.push_back(*slot);
    lru.Erase(*slot);
  }
  return order;
}

TEST(LruOrder, GivesUpWhatWasUsedLongestAgo) {
  LruOrder lru;
  for (uint32_t slot : {0u, 1u, 2u, 9u}) lru.Insert(slot);
  lru.Touch(1);
  lru.Touch(1);
  EXPECT_THAT(Drain(lru), testing::ElementsAre(0, 2, 9, 1));
}

TEST(LruOrder, AgreesWithAListThatIsSimplerAndSlow) {
  std::mt19937 random(7);
  LruOrder lru;
  std::vector<uint32_t> model;  // coldest first
  for (int step = 0; step < 20'000; ++step) {
    const uint32_t slot = random() % 50;
    const auto at = std::find(model.begin(), model.end(), slot);
    ASSERT_EQ(lru.Contains(slot), at != model.end());
    if (at == model.end()) {
      lru.Insert(slot);
      model.push_back(slot);
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
