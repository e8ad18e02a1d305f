#include "KVService/admission/fair_queue.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <vector>

namespace kvstore {
namespace {

constexpr PartyId kFlood = 1, kOther = 2;

TEST(FairOrderTest, WhoAsksForMuchIsNotServedBeforeWhoAsksForLittle) {
  FairOrder<std::string> order;
  for (int i = 0; i < 1000; ++i) order.Push(kFlood, 100, "flood");
  for (int i = 0; i < 10; ++i) EXPECT_EQ(order.Pop(), "flood");
  order.Push(kOther, 100, "other");
  // Theirs is next, or after one that began at the same time.
  int before = 0;
  while (order.Pop() != "other") ++before;
  EXPECT_LE(before, 1);
}

TEST(FairOrderTest, OnesOwnComeInOrder) {
  FairOrder<int> order;
  for (int i = 0; i < 100; ++i) order.Push(kFlood, i % 7 + 1, i);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(order.Pop(), i);
}

TEST(FairOrderTest, PartiesGetTheSameCostWhateverTheirItemsCost) {
  FairOrder<std::pair<PartyId, int64_t>> order;
  std::map<PartyId, int64_t> costs = {{1, 10}, {2, 1000}, {3, 137}};
  for (const auto& [party, cost] : costs) {
    for (int i = 0; i < 100'000 / cost; ++i) order.Push(party, cost, {party, cost});
  }
  std::map<PartyId, int64_t> served;
  int64_t all = 0;
  while (all < 90'000) {
    const auto [party, cost] = order.Pop();
    served[party] += cost;
    all += cost;
  }
  for (const auto& [party, cost] : costs) EXPECT_NEAR(served[party], 30'000, 1'500) << party;
}

TEST(FairOrderTest, WhoWasAwayHasSavedNothing) {
  FairOrder<PartyId> order;
  for (int i = 0; i < 100; ++i) order.Push(kFlood, 100, kFlood);
  for (int i = 0; i < 100; ++i) order.Pop();
  for (int i = 0; i < 20; ++i) {
    order.Push(kFlood, 100, kFlood);
    order.Push(kOther, 100, kOther);
  }
  int others = 0;
  for (int i = 0; i < 10; ++i) others += order.Pop() == kOther ? 1 : 0;
  EXPECT_LE(others, 6);
  EXPECT_GE(others, 4);
}

TEST(FairOrderTest, ManyPartiesAreServedInTheirOrder) {
  FairOrder<PartyId> order;
  constexpr PartyId kWaiting = 10'000, kAll = 200'000;
  for (PartyId party = 0; party < kAll; ++party) {
    order.Push(party, 1, party);
    if (party < kWaiting) continue;
    ASSERT_EQ(order.Pop(), party - kWaiting);
  }
  EXPECT_EQ(order.size(), kWaiting);
}

TEST(FairQueueTest, GivesWhatFitsAndTheRestWhenItComesBack) {
  FairQueue queue(100);
  std::vector<int> went;
  EXPECT_FALSE(queue.Ask(kFlood, 60, [&] { went.push_back(1); }));
  EXPECT_TRUE(queue.Ask(kFlood, 60, [&] { went.push_back(2); }));
  EXPECT_EQ(went, (std::vector{1}));
  EXPECT_EQ(queue.given(), 60);
  EXPECT_EQ(queue.waiting(), 1);
  queue.Return(60);
  EXPECT_EQ(went, (std::vector{1, 2}));
}

TEST(FairQueueTest, MoreThanThereIsGoesAlone) {
  FairQueue queue(100);
  bool large = false, small = false;
  queue.Ask(kFlood, 500, [&] { large = true; });
  EXPECT_TRUE(large);
  EXPECT_TRUE(queue.Ask(kFlood, 1, [&] { small = true; }));
  EXPECT_FALSE(small);
  queue.Return(500);
  EXPECT_TRUE(small);
}

TEST(FairQueueTest, WhatWasTakenWithoutAskingCounts) {
  FairQueue queue(100);
  queue.Ask(kFlood, 10, [] {});
  queue.Return(-80);
  bool went = false;
  EXPECT_TRUE(queue.Ask(kOther, 20, [&] { went = true; }));
  queue.Return(80);
  EXPECT_TRUE(went);
}

TEST(FairQueueTest, RandomlyUsedItNeverGivesMoreThanItsLimitAndForgetsNobody) {
  std::mt19937 random(7);
  FairQueue queue(1000);
  std::vector<int64_t> held;
  int asked = 0, went = 0;
  int64_t given = 0;
  for (int step = 0; step < 20'000; ++step) {
    if (random() % 2 == 0 || held.empty()) {
      const int64_t amount = static_cast<int64_t>(random() % 300 + 1);
      ++asked;
      queue.Ask(random() % 5, amount, [&, amount] {
        ++went;
        given += amount;
        held.push_back(amount);
        ASSERT_LE(given, 1000);
      });
    } else {
      std::swap(held[random() % held.size()], held.back());
      const int64_t amount = held.back();
      held.pop_back();
      given -= amount;
      queue.Return(amount);
    }
    ASSERT_EQ(queue.given(), given);
  }
  while (!held.empty()) {
    const int64_t amount = held.back();
    held.pop_back();
    given -= amount;
    queue.Return(amount);
  }
  EXPECT_EQ(went, asked);
}

}  // namespace
}  // namespace kvstore
