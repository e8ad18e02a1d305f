#include "KVService/eviction/prefix_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <vector>

namespace kvstore {
namespace {

using Place = PrefixPolicy::Place;

constexpr Place kFirst = {.first = true};
Place Behind(uint32_t parent) { return {.parent = parent}; }

std::vector<uint32_t> Drain(PrefixPolicy& policy) {
  std::vector<uint32_t> order;
  while (const std::optional<uint32_t> slot = policy.Victim()) {
    order.push_back(*slot);
    policy.Erase(*slot, *slot);
  }
  return order;
}

void InsertChain(PrefixPolicy& policy, uint32_t first, uint32_t count) {
  for (uint32_t slot = first; slot < first + count; ++slot) {
    policy.Insert(slot, slot == first ? kFirst : Behind(slot - 1), slot);
  }
}

TEST(PrefixPolicy, GivesUpAPromptFromItsEnd) {
  PrefixPolicy policy;
  InsertChain(policy, 0, 4);
  EXPECT_EQ(policy.size(), 4u);
  EXPECT_THAT(Drain(policy), testing::ElementsAre(3, 2, 1, 0));
  EXPECT_EQ(policy.size(), 0u);
}

TEST(PrefixPolicy, KnowingNothingItIsLeastRecentlyUsed) {
  PrefixPolicy policy;
  for (uint32_t slot : {0u, 10u, 20u}) {
    InsertChain(policy, slot, 2);
    policy.Touch({}, 2);
  }
  policy.Touch(std::vector<uint32_t>{0, 1}, 2);
  EXPECT_THAT(Drain(policy), testing::ElementsAre(11, 10, 21, 20, 1, 0));
}

TEST(PrefixPolicy, KeepsWhatIsSharedWhileAnybodyUsesIt) {
  PrefixPolicy policy;
  policy.Insert(0, kFirst, 0);
  policy.Insert(1, Behind(0), 1);
  policy.Insert(2, Behind(0), 2);
  const std::vector<uint32_t> order = Drain(policy);
  EXPECT_EQ(order.back(), 0u);
}

TEST(PrefixPolicy, OrphansGoFirst) {
  PrefixPolicy policy;
  InsertChain(policy, 0, 3);
  policy.Insert(9, {}, 9);
  EXPECT_EQ(policy.Victim(), 9u);
}

TEST(PrefixPolicy, ABlockThatIsEarlyIsAdoptedByItsParent) {
  PrefixPolicy policy;
  policy.Insert(2, {}, 2);
  policy.Insert(1, {}, 1);
  policy.Renew(2, Behind(1));
  policy.Insert(0, kFirst, 0);
  policy.Renew(1, Behind(0));
  EXPECT_THAT(Drain(policy), testing::ElementsAre(2, 1, 0));
}

TEST(PrefixPolicy, ALookupShowsWhoseChildAnOrphanIs) {
  PrefixPolicy policy;
  policy.Insert(1, {}, 1);
  policy.Insert(0, kFirst, 0);
  policy.Touch(std::vector<uint32_t>{0, 1}, 2);
  EXPECT_THAT(Drain(policy), testing::ElementsAre(1, 0));
}

TEST(PrefixPolicy, ACircleOfParentsIsNotClosed) {
  PrefixPolicy policy;
  policy.Insert(0, {}, 0);
  policy.Insert(1, Behind(0), 1);
  policy.Renew(0, Behind(1));
  EXPECT_THAT(Drain(policy), testing::ElementsAre(1, 0));
}

TEST(PrefixPolicy, ASlotReusedUnderOrphansIsNotTheirParent) {
  PrefixPolicy policy;
  for (uint32_t round = 0; round < 3; ++round) {
    InsertChain(policy, 0, 1);
    policy.Insert(10 + round, Behind(0), 10 + round);
    policy.Erase(0, 0);
  }
  InsertChain(policy, 0, 2);
  EXPECT_EQ(policy.size(), 5u);
  const std::vector<uint32_t> order = Drain(policy);
  EXPECT_THAT(order, testing::UnorderedElementsAre(0, 1, 10, 11, 12));
}

// A cache of 100 blocks of conversations, each of which begins with a block of its own.
class SmallCache {
 public:
  SmallCache() : key_of_(101) {
    for (uint32_t slot = 0; slot < 101; ++slot) free_.push_back(slot);
  }

  // Looks a conversation's first blocks up and writes what is missing. How many were found.
  size_t LookUp(uint64_t conversation, int blocks) {
    std::vector<uint32_t> found;
    for (int i = 0; i < blocks && where_.contains(conversation * 100 + i); ++i) {
      found.push_back(where_[conversation * 100 + i]);
    }
    policy_.Touch(found, blocks);
    for (int i = static_cast<int>(found.size()); i < blocks; ++i) {
      const uint64_t key = conversation * 100 + i;
      if (where_.contains(key)) continue;
      const auto parent = where_.find(key - 1);
      const bool known = i > 0 && parent != where_.end();
      const uint32_t slot = free_.back();
      free_.pop_back();
      policy_.Insert(slot, i == 0 ? kFirst : known ? Behind(parent->second) : Place{}, key);
      key_of_[slot] = key;
      where_[key] = slot;
      if (where_.size() <= 100) continue;
      const uint32_t victim = *policy_.Victim();
      policy_.Erase(victim, key_of_[victim]);
      where_.erase(key_of_[victim]);
      free_.push_back(victim);
    }
    return found.size();
  }

 private:
  PrefixPolicy policy_;
  std::map<uint64_t, uint32_t> where_;
  std::vector<uint64_t> key_of_;
  std::vector<uint32_t> free_;
};

// LRU of this size keeps nothing long enough.
TEST(PrefixPolicy, LearnsToKeepSomeLongEnough) {
  SmallCache cache;
  size_t hits = 0;
  for (uint64_t time = 0; time < 6000; ++time) {
    const size_t found = cache.LookUp(time % 60, 4);  // a loop of 240 blocks
    if (time >= 3000) hits += found;
  }
  // The best is 96 of 240; LRU finds none.
  EXPECT_GT(hits, size_t{3000} * 4 * 30 / 100);
}

// Every second prompt is short and comes back after 180 lookups, the long ones never do. Of 120
// that wait at a time the cache holds 100; who cannot tell them apart finds a third.
TEST(PrefixPolicy, LearnsByHowMuchOfAPromptWasNew) {
  SmallCache cache;
  size_t hits = 0;
  constexpr uint64_t kPairs = 4000;
  for (uint64_t pair = 0; pair < kPairs; ++pair) {
    cache.LookUp(2 * pair, 2);
    cache.LookUp(2 * pair + 1, 10);
    if (pair < 60) continue;
    const size_t found = cache.LookUp(2 * (pair - 60), 2);
    if (pair >= kPairs / 2) hits += found;
  }
  EXPECT_GT(hits, kPairs / 2 * 2 * 55 / 100);
}

// Random work on a forest against a model that only knows who is whose parent.
TEST(PrefixPolicy, ParentsOutliveChildrenWhateverHappens) {
  for (uint32_t seed = 1; seed <= 5; ++seed) {
    std::mt19937 random(seed);
    PrefixPolicy policy;
    std::map<uint32_t, std::optional<uint32_t>> parents;  // of what is in; without: first or orphan
    const auto has_children = [&](uint32_t slot) {
      for (const auto& [child, parent] : parents) {
        if (parent == slot) return true;
      }
      return false;
    };
    const auto erase = [&](uint32_t slot) {
      policy.Erase(slot, slot);
      parents.erase(slot);
      for (auto& [child, parent] : parents) {
        if (parent == slot) parent.reset();
      }
    };
    for (int step = 0; step < 20'000; ++step) {
      const uint32_t slot = random() % 60, other = random() % 60;
      ASSERT_EQ(policy.Contains(slot), parents.contains(slot));
      if (!parents.contains(slot)) {
        const bool first = random() % 4 == 0;
        policy.Insert(slot, first ? kFirst : Behind(other), slot);
        const bool hangs = !first && other != slot && parents.contains(other);
        parents[slot] = hangs ? std::optional(other) : std::nullopt;
      } else if (const uint32_t what = random() % 8; what < 4) {
        std::vector<uint32_t> path;
        std::optional<uint32_t> at = slot;
        for (; at; at = parents[*at]) path.insert(path.begin(), *at);
        policy.Touch(path, path.size());
      } else if (what == 4) {
        policy.Renew(slot, parents[slot] ? Behind(*parents[slot]) : kFirst);
      } else if (what == 5) {
        erase(slot);
      } else {
        const std::optional<uint32_t> victim = policy.Victim();
        ASSERT_TRUE(victim && parents.contains(*victim));
        ASSERT_FALSE(has_children(*victim)) << seed << " " << step;
        erase(*victim);
      }
      ASSERT_EQ(policy.size(), parents.size());
    }
    while (const std::optional<uint32_t> victim = policy.Victim()) {
      ASSERT_FALSE(has_children(*victim));
      erase(*victim);
    }
    EXPECT_TRUE(parents.empty());
  }
}

TEST(PrefixPolicy, TakesSixteenBytesASlot) {
  PrefixPolicy policy;
  for (uint32_t slot = 0; slot < 1'000'000; ++slot) policy.Insert(slot, kFirst, slot);
  EXPECT_LT(policy.memory_bytes(), 1'000'000u * 17 + 4'200'000u);
}

}  // namespace
}  // namespace kvstore
