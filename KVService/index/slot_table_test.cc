#include "KVService/index/slot_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace kvstore {
namespace {

struct Slots {
  std::vector<size_t>* hashes;
  std::vector<uint32_t>* links;
  size_t HashOf(uint32_t slot) const { return (*hashes)[slot]; }
  uint32_t& Next(uint32_t slot) const { return (*links)[slot]; }
};

class SlotTableTest : public testing::Test {
 protected:
  static constexpr uint32_t kSlots = 3000;
  std::vector<uint32_t> With(size_t hash) {
    std::vector<uint32_t> slots;
    table_.ForEach(hash, [&](uint32_t slot) {
      if (hashes_[slot] == hash) slots.push_back(slot);
      return true;
    });
    return slots;
  }

  std::vector<size_t> hashes_ = std::vector<size_t>(kSlots);
  std::vector<uint32_t> links_ = std::vector<uint32_t>(kSlots);
  SlotTable<Slots> table_{{&hashes_, &links_}};
};

TEST_F(SlotTableTest, FindsByHashInTheOrderOfInsertion) {
  std::mt19937 random(3);
  std::vector<std::vector<uint32_t>> model(40);
  std::vector<bool> in(kSlots);
  for (int step = 0; step < 60'000; ++step) {
    const uint32_t slot = random() % kSlots;
    const size_t kind = hashes_[slot];
    if (in[slot]) {
      table_.Remove(slot);
      model[kind].erase(std::find(model[kind].begin(), model[kind].end(), slot));
    } else {
      // Some hashes are borne by many, some buckets share low bits.
      hashes_[slot] = random() % 2 ? random() % 40 : 7;
      table_.Insert(slot);
      model[hashes_[slot]].push_back(slot);
    }
    in[slot] = !in[slot];
    const size_t wanted = random() % 40;
    if (step % 16 == 0) {
      ASSERT_EQ(With(wanted), model[wanted]);
    }
    ASSERT_EQ(table_.LastOfBucket(wanted).has_value() || model[wanted].empty(), true);
  }
  size_t total = 0;
  for (const auto& slots : model) total += slots.size();
  EXPECT_EQ(table_.size(), total);
}

TEST_F(SlotTableTest, StopsWhereTheVisitorSays) {
  for (uint32_t slot = 0; slot < 10; ++slot) {
    hashes_[slot] = 5;
    table_.Insert(slot);
  }
  int seen = 0;
  table_.ForEach(5, [&](uint32_t slot) { return ++seen, slot < 3; });
  EXPECT_EQ(seen, 4);
}

}  // namespace
}  // namespace kvstore
