#include <gtest/gtest.h>

#include "benchmarks/cluster_sim/lru_fleet.h"
#include "benchmarks/cluster_sim/simulate.h"

namespace kvstore::cluster_sim {
namespace {

TEST(LruFleet, EachServerKeepsWhatItUsedLast) {
  LruFleet fleet(2, 2);
  EXPECT_FALSE(fleet.Read(0, 1));
  EXPECT_FALSE(fleet.Read(1, 1)) << "another server's";
  EXPECT_FALSE(fleet.Read(0, 2));
  EXPECT_TRUE(fleet.Read(0, 1));
  EXPECT_FALSE(fleet.Read(0, 3));  // gives up 2
  EXPECT_FALSE(fleet.Read(0, 2));
  EXPECT_TRUE(fleet.Read(0, 3));
  EXPECT_FALSE(fleet.Read(0, 1));
  EXPECT_EQ(fleet.held(0), 2u);
  EXPECT_EQ(fleet.copies(), 3u);
  fleet.Clear(0);
  EXPECT_EQ(fleet.held(0), 0u);
  EXPECT_FALSE(fleet.Read(0, 1));
  EXPECT_TRUE(fleet.Read(1, 1));
}

FleetOptions Small() {
  return {.servers = 40, .clients = 4, .blocks = 100'000, .requests = 3000, .in_flight = 16};
}

TEST(ClusterSim, HomesAreEvenAndALossMovesOnlyWhatItMust) {
  const Placement placement = Place(Small());
  EXPECT_LT(placement.max_to_mean, 1.1);
  EXPECT_EQ(placement.moved_1, placement.least_1);
  EXPECT_EQ(placement.moved_10, placement.least_10);
  EXPECT_NEAR(placement.moved_10, 0.1, 0.02);
}

TEST(ClusterSim, AFleetHitsAsOneCacheDoesAndRecoversFromALoss) {
  const std::vector<Phase> phases = Simulate(Small());
  ASSERT_EQ(phases.size(), 6u);
  const Phase& warm = phases[1];
  EXPECT_GT(warm.hit_ratio, 0.9 * warm.one_cache);
  EXPECT_LE(warm.max_to_mean, 1.25);
  EXPECT_EQ(phases[2].servers_up, 39u);
  EXPECT_EQ(phases[4].servers_up, 35u);
  for (const Phase& phase : phases) EXPECT_LE(phase.max_to_mean, 1.3) << phase.name;
  EXPECT_GT(phases[5].hit_ratio, 0.85 * warm.hit_ratio);
}

}  // namespace
}  // namespace kvstore::cluster_sim
