#include "KVService/index/prefix_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <thread>

namespace kvstore {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const Container kContainer{"acct", "box"};
const PartitionDigest kPartition = DigestPartition("p");
const Space kSpace = SpaceOf(kContainer, kPartition);

Digest DigestOf(uint64_t number) { return Sha256(std::as_bytes(std::span(&number, 1))); }

BlockId Id(uint64_t number, uint64_t hash) { return {kSpace, {DigestOf(number), 5, hash}}; }

std::vector<uint64_t> HashesOf(const std::vector<PrefixIndex::Removed>& removed) {
  std::vector<uint64_t> hashes;
  for (const auto& block : removed) hashes.push_back(block.id.version.hash);
  return hashes;
}

class PrefixIndexTest : public testing::Test {
 protected:
  bool Add(uint64_t number, uint64_t hash, uint64_t parent = 0, bool by_parent = false,
           uint64_t footprint = 4096) {
    return index_.Insert(kContainer, kPartition, Id(number, hash), {parent, footprint, by_parent});
  }
  PrefixIndex index_;
};

TEST_F(PrefixIndexTest, FindsVersionsOldestFirst) {
  EXPECT_TRUE(Add(1, 10));
  EXPECT_TRUE(Add(1, 11, 7));
  EXPECT_TRUE(Add(1, 12));
  EXPECT_FALSE(Add(1, 11, 7));
  const PrefixIndex::Versions versions = index_.Find(kSpace, DigestOf(1), 5);
  ASSERT_EQ(versions.size(), 3u);
  EXPECT_EQ(versions[0].hash, 10u);
  EXPECT_EQ(versions[1].hash, 11u);
  EXPECT_EQ(versions[1].parent_hash, 7u);
  EXPECT_EQ(versions[2].hash, 12u);
  EXPECT_THAT(index_.Find(kSpace, DigestOf(1), 6), IsEmpty()) << "other tokens";
  EXPECT_THAT(index_.Find(SpaceOf(kContainer, DigestPartition("q")), DigestOf(1), 5), IsEmpty());
  EXPECT_EQ(index_.size(), 3u);
}

TEST_F(PrefixIndexTest, CountsTheBearersOfAHash) {
  EXPECT_EQ(index_.CountBearing(kSpace, 10), 0);
  Add(1, 10);
  EXPECT_EQ(index_.CountBearing(kSpace, 10), 1);
  Add(2, 10);
  Add(3, 10);
  EXPECT_EQ(index_.CountBearing(kSpace, 10), 2);
  index_.Remove(Id(2, 10));
  EXPECT_EQ(index_.CountBearing(kSpace, 10), 2);
  index_.Remove(Id(1, 10));
  EXPECT_EQ(index_.CountBearing(kSpace, 10), 1);
  index_.Remove(Id(3, 10));
  EXPECT_EQ(index_.CountBearing(kSpace, 10), 0);
}

TEST_F(PrefixIndexTest, TellsTheOnlyParent) {
  Add(1, 10);
  Add(2, 20, 10);
  Add(5, 22, 0);
  EXPECT_EQ(index_.ParentOf(Id(2, 20)), Id(1, 10));
  EXPECT_EQ(index_.ParentOf(Id(5, 22)), std::nullopt);
  Add(3, 10);
  EXPECT_EQ(index_.ParentOf(Id(2, 20)), std::nullopt);
  EXPECT_EQ(index_.ParentOf(Id(9, 90)), std::nullopt);
}

TEST_F(PrefixIndexTest, ABlockByParentGoesWithItsParent) {
  Add(1, 10);
  Add(2, 20, 10, true);
  Add(3, 30, 20, true);
  Add(4, 40, 20, true);
  Add(5, 50, 10);  // proved by its prefix digest: stays
  EXPECT_TRUE(index_.HasBlocksByParent(kSpace));
  EXPECT_THAT(HashesOf(index_.Remove(Id(1, 10))), ElementsAre(40, 30, 20, 10));
  EXPECT_FALSE(index_.HasBlocksByParent(kSpace));
  EXPECT_TRUE(index_.Contains(Id(5, 50)));
  EXPECT_EQ(index_.size(), 1u);
}

TEST_F(PrefixIndexTest, HashesInACircleEnd) {
  Add(1, 10, 20, true);
  Add(2, 20, 10, true);
  Add(3, 30, 30, true);
  EXPECT_EQ(index_.Remove(Id(1, 10)).size(), 2u);
  EXPECT_EQ(index_.Remove(Id(3, 30)).size(), 1u);
  EXPECT_EQ(index_.size(), 0u);
}

TEST_F(PrefixIndexTest, GivesUpTheColdestAndNeverAParentFirst) {
  Add(1, 10);
  Add(2, 20, 10);
  Add(3, 30, 20);
  Add(7, 70);
  EXPECT_THAT(HashesOf(index_.RemoveLeastWorth(4096 + 1)), ElementsAre(30, 20));
  const PrefixIndex::Handle prompt[] = {*index_.HandleOf(Id(1, 10))};
  index_.Touch(prompt, std::size(prompt));
  EXPECT_THAT(HashesOf(index_.RemoveLeastWorth(1)), ElementsAre(70));
  EXPECT_THAT(HashesOf(index_.RemoveLeastWorth(1 << 20)), ElementsAre(10));
  EXPECT_THAT(index_.RemoveLeastWorth(1), IsEmpty());
}

// Writers bring a prompt's blocks at once, in any order.
TEST_F(PrefixIndexTest, ABlockThatCameBeforeItsParentDoesNotOutliveIt) {
  Add(3, 30, 20);
  Add(2, 20, 10);
  Add(1, 10);
  Add(7, 70);
  std::vector<uint64_t> order;
  while (index_.size() > 0) order.push_back(HashesOf(index_.RemoveLeastWorth(1)).at(0));
  const auto place = [&](uint64_t hash) { return std::find(order.begin(), order.end(), hash); };
  EXPECT_LT(place(30), place(20));
  EXPECT_LT(place(20), place(10));
}

TEST_F(PrefixIndexTest, WhatComesBehindABlockThatWasGivenUpGoesFirst) {
  Add(1, 10);
  Add(2, 20, 10);
  EXPECT_THAT(HashesOf(index_.RemoveLeastWorth(1)), ElementsAre(20));
  Add(3, 30, 20);
  EXPECT_THAT(HashesOf(index_.RemoveLeastWorth(1)), ElementsAre(30)) << "nobody can reach it";
}

TEST_F(PrefixIndexTest, RemovesOnlyTheStayMeant) {
  Add(1, 10);
  const std::optional<PrefixIndex::Handle> first = index_.HandleOf(Id(1, 10));
  ASSERT_TRUE(first.has_value());
  index_.Remove(Id(1, 10));
  EXPECT_EQ(index_.HandleOf(Id(1, 10)), std::nullopt);
  Add(1, 10);
  EXPECT_THAT(index_.Remove(Id(1, 10), first), IsEmpty());
  EXPECT_TRUE(index_.Contains(Id(1, 10)));
  EXPECT_THAT(index_.Remove(Id(1, 10), index_.HandleOf(Id(1, 10))), testing::SizeIs(1));
}

TEST_F(PrefixIndexTest, SaysWhatTheRemovedNeedForTheirDeletion) {
  Add(1, 10, 0, false, 5000);
  const std::vector<PrefixIndex::Removed> removed = index_.Remove(Id(1, 10));
  ASSERT_EQ(removed.size(), 1u);
  EXPECT_EQ(removed[0].container, kContainer);
  EXPECT_EQ(removed[0].partition, kPartition);
  EXPECT_EQ(removed[0].id, Id(1, 10));
  EXPECT_GE(removed[0].footprint, 5000u);
}

// Against maps and a naive closure: random inserts and removals over few digests, hashes and
// parents, so that chains, versions and circles all occur.
TEST_F(PrefixIndexTest, AgreesWithASimpleModel) {
  std::mt19937 random(11);
  struct Block {
    uint64_t parent;
    bool by_parent;
  };
  std::map<std::pair<uint64_t, uint64_t>, Block> model;  // (number, hash)
  const auto footprint_of = [](uint64_t hash) { return hash * 1024; };
  for (int step = 0; step < 20'000; ++step) {
    const std::pair<uint64_t, uint64_t> key{random() % 12, 1 + random() % 8};
    if (random() % 3) {
      const Block block{random() % 9, random() % 2 == 0};
      const bool added =
          Add(key.first, key.second, block.parent, block.by_parent, footprint_of(key.second));
      ASSERT_EQ(added, model.emplace(key, block).second);
    } else {
      std::set<std::pair<uint64_t, uint64_t>> expected;
      if (model.contains(key)) expected.insert(key);
      for (bool grown = !expected.empty(); grown;) {
        grown = false;
        for (const auto& [other, block] : model) {
          for (const auto& gone : std::set(expected)) {
            if (block.by_parent && block.parent == gone.second) {
              grown |= expected.insert(other).second;
            }
          }
        }
      }
      const auto removed = index_.Remove(Id(key.first, key.second));
      ASSERT_EQ(removed.size(), expected.size());
      for (const auto& gone : expected) {
        model.erase(gone);
        ASSERT_FALSE(index_.Contains(Id(gone.first, gone.second)));
      }
    }
    ASSERT_EQ(index_.size(), model.size());
    const uint64_t hash = 1 + random() % 8;
    int bearing = 0;
    bool any_by_parent = false;
    for (const auto& [other, block] : model) {
      bearing += other.second == hash;
      any_by_parent |= block.by_parent;
    }
    ASSERT_EQ(index_.CountBearing(kSpace, hash), std::min(bearing, 2));
    ASSERT_EQ(index_.HasBlocksByParent(kSpace), any_by_parent);
    uint64_t footprint = 0;
    for (const auto& its : model) footprint += footprint_of(its.first.second);
    ASSERT_EQ(index_.FootprintOf(kSpace), footprint);
    ASSERT_EQ(index_.FootprintOfAccount(kContainer.account), footprint);
    ASSERT_EQ(index_.FootprintOf(Id(key.first, key.second)),
              model.contains(key) ? footprint_of(key.second) : 0);
    const uint64_t number = random() % 12;
    std::set<uint64_t> versions, found;
    for (const auto& [other, block] : model) {
      if (other.first == number) versions.insert(other.second);
    }
    for (const auto& version : index_.Find(kSpace, DigestOf(number), 5)) found.insert(version.hash);
    ASSERT_EQ(found, versions);
  }
}

TEST_F(PrefixIndexTest, ManyThreads) {
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] {
      std::mt19937 random(t);
      for (int i = 0; i < 5000; ++i) {
        const uint64_t number = random() % 100;
        Add(number, number + 1, number, number % 3 == 0);
        index_.Find(kSpace, DigestOf(number), 5);
        if (const auto handle = index_.HandleOf(Id(number, number + 1))) {
          index_.Touch({{*handle}}, 1);
        }
        if (i % 5 == 0) index_.Remove(Id(number, number + 1));
        if (i % 50 == 0) index_.RemoveLeastWorth(8192);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const size_t left = index_.size();
  EXPECT_EQ(index_.RemoveLeastWorth(UINT64_MAX).size(), left);
  EXPECT_EQ(index_.size(), 0u);
}

}  // namespace
}  // namespace kvstore
