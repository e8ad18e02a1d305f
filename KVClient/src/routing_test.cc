#include "KVClient/src/routing.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "absl/strings/escaping.h"
#include "gtest/gtest.h"

namespace kvstore::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Kind = Router::Kind;
using Outcome = Router::Outcome;
using Change = Router::Change;

constexpr Router::Time kNow = seconds(1000);

std::vector<std::string> Names(size_t count) {
  std::vector<std::string> names;
  for (size_t i = 0; i < count; ++i) names.push_back("kv-" + std::to_string(i) + ":50051");
  return names;
}

std::vector<RouteKey> Keys(size_t count) {
  std::mt19937_64 random(7);
  std::vector<RouteKey> keys(count);
  std::generate(keys.begin(), keys.end(), std::ref(random));
  return keys;
}

size_t PickChunk(Router& router, RouteKey key, int64_t load = 1) {
  return router.Pick({Kind::kChunk, key}, load, kNow).server;
}

TEST(Rendezvous, BalancesAHundredThousandKeys) {
  for (const size_t count : {3, 10, 64}) {
    const Router router(Names(count));
    std::vector<size_t> held(count);
    for (const RouteKey key : Keys(100'000)) ++held[router.Home(key)];
    const auto mean = 100'000.0 / static_cast<double>(count);
    for (const size_t its : held) EXPECT_NEAR(static_cast<double>(its), mean, 5 * std::sqrt(mean));
  }
}

TEST(Rendezvous, KeysThatDifferInABitAreSpreadLikeAnyOthers) {
  const Router router(Names(8));
  std::vector<int> held(8);
  for (RouteKey key = 0; key < 8000; ++key) ++held[router.Home(key)];
  for (const int its : held) EXPECT_NEAR(its, 1000, 160);
}

TEST(Rendezvous, ARemovedServerMovesItsKeysOnly) {
  const auto names = Names(10);
  const Router before(names);
  auto fewer = names;
  fewer.erase(fewer.begin() + 4);
  const Router after(fewer);
  size_t moved = 0;
  std::map<std::string, size_t> heirs;
  for (const RouteKey key : Keys(20'000)) {
    const std::string& was = before.name(before.Home(key));
    const std::string& is = after.name(after.Home(key));
    if (was != names[4]) {
      ASSERT_EQ(is, was);
    } else {
      EXPECT_EQ(is, before.name(before.Home(key, 1)));  // and to where it waits while 4 is down
      ++moved;
      ++heirs[is];
    }
  }
  EXPECT_NEAR(static_cast<double>(moved), 2000, 250);
  EXPECT_EQ(heirs.size(), 9u);  // all others share them
}

TEST(Rendezvous, AnAddedServerTakesOnlyWhatItWins) {
  const Router before(Names(9)), after(Names(10));
  size_t moved = 0;
  for (const RouteKey key : Keys(20'000)) {
    const std::string& is = after.name(after.Home(key));
    if (is == before.name(before.Home(key))) continue;
    ASSERT_EQ(is, Names(10).back());
    ++moved;
  }
  EXPECT_NEAR(static_cast<double>(moved), 2000, 250);
}

TEST(Rendezvous, TheOrderOfTheListDoesNotMatter) {
  auto names = Names(7);
  const Router one(names);
  std::reverse(names.begin(), names.end());
  const Router other(names);
  for (const RouteKey key : Keys(1000)) {
    for (size_t n = 0; n < 7; ++n) {
      ASSERT_EQ(one.name(one.Home(key, n)), other.name(other.Home(key, n)));
    }
  }
}

TEST(Rendezvous, HomesStayWhatTheyAre) {
  // Clients of all versions have to agree.
  const Router router({"a:8085", "a:8086", "b:8085"});
  std::string homes;
  for (RouteKey key = 1; key <= 24; ++key) homes += std::to_string(router.Home(key));
  EXPECT_EQ(homes, "222220011210000002210122");
}

TEST(Rendezvous, ANameGivenTwiceIsOneHomeAndItsStandIn) {
  const Router router({"a:1", "a:1"});
  EXPECT_EQ(router.Home(5, 0), 0u);
  EXPECT_EQ(router.Home(5, 1), 1u);
}

TEST(LocationKeys, AreReadFromALocation) {
  std::string bytes(72, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 37 + 5);
  std::string text;
  absl::WebSafeBase64Escape(bytes, &text);
  ASSERT_EQ(text.size(), 96u);
  const auto* const raw = reinterpret_cast<const uint8_t*>(bytes.data());
  const LocationKeys keys = KeysOf(text);
  EXPECT_EQ(keys.partition, RouteKeyOf({raw, 16}));
  EXPECT_EQ(keys.chunk, ChunkKeyOf(keys.partition, {raw + 16, 32}));
  EXPECT_NE(keys.chunk, ChunkKeyOf(keys.partition + 1, {raw + 16, 32}));
}

TEST(LocationKeys, AnythingElseIsHashedWhole) {
  std::set<RouteKey> seen;
  for (const std::string& odd :
       {std::string(), std::string("p/1"), std::string("p/2"), std::string(96, '!'),
        std::string(95, 'A'), std::string(97, 'A')}) {
    const LocationKeys keys = KeysOf(odd);
    EXPECT_EQ(keys.partition, keys.chunk);
    EXPECT_TRUE(seen.insert(keys.chunk).second) << odd;
  }
}

TEST(BoundedLoad, HoldsForAnyKeys) {
  RouterOptions options;
  options.slack = 2;
  Router router(Names(20), options);
  std::mt19937_64 random(3);
  std::vector<size_t> running;
  for (int i = 0; i < 20'000; ++i) {
    if (running.size() >= 2000) {
      const size_t index = random() % running.size();
      router.End(running[index], 1);
      running[index] = running.back();
      running.pop_back();
    }
    const RouteKey key = random() % 30;  // few, so that homes are crowded
    const auto choice = router.Pick({Kind::kChunk, key}, 1, kNow);
    router.Start(choice.server, 1);
    running.push_back(choice.server);
    const double mean = static_cast<double>(running.size()) / 20;
    ASSERT_LE(static_cast<double>(router.load(choice.server)), 1.25 * mean + 2);
    EXPECT_EQ(choice.overflowed, choice.server != router.Home(key));
  }
}

TEST(BoundedLoad, LightLoadStaysAtHome) {
  Router router(Names(10));
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(PickChunk(router, 1, 1 << 20), router.Home(1));
    router.Start(router.Home(1), 1 << 20);
  }
  EXPECT_NE(PickChunk(router, 1, 2 << 20), router.Home(1));
  EXPECT_EQ(PickChunk(router, 1, 2 << 20), router.Home(1, 1));
  EXPECT_EQ(router.Pick({Kind::kPartition, 1}, 2 << 20, kNow).server, router.Home(1));
}

TEST(BoundedLoad, ACallBeyondTheBoundByItselfStaysAtHome) {
  Router router(Names(3));
  EXPECT_EQ(PickChunk(router, 1, int64_t{1} << 40), router.Home(1));
}

TEST(PickAny, PrefersWhoHasLessOnTheWay) {
  Router router(Names(16));
  for (int i = 0; i < 16'000; ++i) router.Start(router.Pick({}, 1, kNow).server, 1);
  for (size_t i = 0; i < 16; ++i) EXPECT_NEAR(static_cast<double>(router.load(i)), 1000, 20);
}

TEST(Health, AServerThatFailedIsLeftAtOnceAndTakenBackByAProbe) {
  Router router(Names(4));
  const size_t home = router.Home(9);
  EXPECT_EQ(router.Report(home, Outcome::kFailed, {}, kNow), Change::kEjected);
  EXPECT_EQ(router.Report(home, Outcome::kFailed, {}, kNow), Change::kNone);  // no news
  EXPECT_FALSE(router.up(home));
  EXPECT_EQ(PickChunk(router, 9), router.Home(9, 1));
  for (int i = 0; i < 100; ++i) EXPECT_NE(router.Pick({}, 1, kNow).server, home);

  EXPECT_EQ(router.NextProbe(kNow + milliseconds(999)), std::nullopt);
  EXPECT_EQ(router.NextProbe(kNow + seconds(1)), home);
  EXPECT_EQ(router.NextProbe(kNow + seconds(1)), std::nullopt);  // one is enough
  EXPECT_EQ(router.Probed(home, false, kNow + seconds(1)), Change::kNone);
  EXPECT_EQ(router.NextProbe(kNow + milliseconds(1499)), std::nullopt);
  EXPECT_EQ(router.NextProbe(kNow + milliseconds(1500)), home);
  EXPECT_EQ(router.Report(home, Outcome::kAnswered, {}, kNow), Change::kNone);  // an old call's
  EXPECT_FALSE(router.up(home));
  EXPECT_EQ(router.Probed(home, true, kNow + milliseconds(1500)), Change::kBack);
  EXPECT_EQ(PickChunk(router, 9), home);
  EXPECT_EQ(router.servers_up(), 4u);
}

TEST(Health, WhoComesAndGoesIsLeftForLongerAndLonger) {
  Router router(Names(2));
  Router::Time now = kNow;
  for (const int expected : {1, 2, 4, 8, 16, 30, 30}) {
    ASSERT_EQ(router.Report(0, Outcome::kSilent, {}, now), Change::kEjected);
    EXPECT_EQ(router.NextProbe(now + seconds(expected) - milliseconds(1)), std::nullopt);
    now += seconds(expected);
    ASSERT_EQ(router.NextProbe(now), 0u);
    ASSERT_EQ(router.Probed(0, true, now), Change::kBack);
    now += seconds(5);
  }
  now += seconds(60);  // it has been good for long
  router.Report(0, Outcome::kSilent, {}, now);
  EXPECT_EQ(router.NextProbe(now + seconds(1)), 0u);
}

TEST(Health, FailuresMustFollowOneAnother) {
  RouterOptions options;
  options.failures = 3;
  Router router(Names(2), options);
  for (int round = 0; round < 5; ++round) {
    EXPECT_EQ(router.Report(0, Outcome::kFailed, {}, kNow), Change::kNone);
    EXPECT_EQ(router.Report(0, Outcome::kFailed, {}, kNow), Change::kNone);
    router.Report(0, Outcome::kAnswered, {}, kNow);
  }
  router.Report(0, Outcome::kFailed, {}, kNow);
  router.Report(0, Outcome::kFailed, {}, kNow);
  EXPECT_EQ(router.Report(0, Outcome::kFailed, {}, kNow), Change::kEjected);
}

TEST(Health, WhereNoneIsUpCallsGoHome) {
  Router router(Names(3));
  for (size_t i = 0; i < 3; ++i) router.Report(i, Outcome::kFailed, {}, kNow);
  const auto choice = router.Pick({Kind::kChunk, 9}, 1, kNow);
  EXPECT_EQ(choice.server, router.Home(9));
  EXPECT_FALSE(choice.up);
  const std::vector<size_t> tried = {router.Home(9)};
  EXPECT_EQ(router.Pick({Kind::kChunk, 9}, 1, kNow, tried).server, router.Home(9, 1));
  const std::vector<size_t> all = {0, 1, 2};
  EXPECT_EQ(router.Pick({Kind::kChunk, 9}, 1, kNow, all).server, router.Home(9));
}

TEST(Health, ATriedServerIsPassedOver) {
  Router router(Names(3));
  const std::vector<size_t> tried = {router.Home(9)};
  const auto choice = router.Pick({Kind::kPartition, 9}, 1, kNow, tried);
  EXPECT_EQ(choice.server, router.Home(9, 1));
  EXPECT_TRUE(choice.up);
}

TEST(Health, OneServerIsAlwaysChosen) {
  Router router(Names(1));
  router.Report(0, Outcome::kFailed, {}, kNow);
  EXPECT_EQ(router.Pick({Kind::kChunk, 1}, 1, kNow).server, 0u);
  EXPECT_EQ(router.Pick({}, 1, kNow, std::vector<size_t>{0}).server, 0u);
}

TEST(Outliers, ASlowServerIsLeftAndProbedLater) {
  Router router(Names(5));
  Change change = Change::kNone;
  int answers = 0;
  for (; change == Change::kNone && answers < 1000; ++answers) {
    for (size_t i = 0; i < 4; ++i) router.Report(i, Outcome::kAnswered, milliseconds(10), kNow);
    change = router.Report(4, Outcome::kAnswered, milliseconds(300), kNow);
  }
  EXPECT_EQ(change, Change::kEjectedSlow);
  EXPECT_LE(answers, 25);
  EXPECT_FALSE(router.up(4));
  ASSERT_EQ(router.NextProbe(kNow + seconds(1)), 4u);
  router.Probed(4, true, kNow + seconds(1));
  EXPECT_TRUE(router.up(4));
  // Judged anew, and not by its past.
  EXPECT_EQ(router.Report(4, Outcome::kAnswered, milliseconds(10), kNow), Change::kNone);
}

TEST(Outliers, NeitherFastNorEquallySlowServersAre) {
  Router fast(Names(3)), slow(Names(3));
  for (int i = 0; i < 200; ++i) {
    for (size_t server = 0; server < 3; ++server) {
      const auto its = server == 0 ? milliseconds(90) : milliseconds(1);  // below the floor
      EXPECT_EQ(fast.Report(server, Outcome::kAnswered, its, kNow), Change::kNone);
      const auto all = server == 0 ? milliseconds(4000) : milliseconds(1000);
      EXPECT_EQ(slow.Report(server, Outcome::kAnswered, all, kNow), Change::kNone);
    }
  }
}

TEST(Outliers, AtMostHalfAreLeft) {
  Router router(Names(6));
  for (int i = 0; i < 200; ++i) {
    for (size_t server = 0; server < 6; ++server) {
      const auto its = server == 0 ? milliseconds(1) : milliseconds(100 << (2 * server));
      router.Report(server, Outcome::kAnswered, its, kNow);
    }
  }
  EXPECT_GE(router.servers_up(), 3u);
  Router pair(Names(2));
  for (int i = 0; i < 200; ++i) {
    pair.Report(0, Outcome::kAnswered, seconds(5), kNow);
    pair.Report(1, Outcome::kAnswered, milliseconds(1), kNow);
  }
  EXPECT_FALSE(pair.up(0));
  EXPECT_TRUE(pair.up(1));
}

// Reads keys that are all different, and the hot one in turns with so many of them.
std::map<size_t, int> ReadsOfHot(Router& router, RouteKey hot, size_t every, Router::Time& now) {
  std::map<size_t, int> reads;
  for (const RouteKey key : Keys(5000)) {
    const auto cold = router.Pick({Kind::kChunkRead, key}, 1, now);
    EXPECT_EQ(cold.server, router.Home(key));
    EXPECT_FALSE(cold.further_home);
    now += milliseconds(1);
    if (reads.empty() || key % every == 0) {
      const auto choice = router.Pick({Kind::kChunkRead, hot}, 1, now);
      EXPECT_EQ(choice.further_home, choice.server != router.Home(hot));
      ++reads[choice.server];
    }
  }
  return reads;
}

TEST(Demand, OnlyHotKeysHaveFurtherHomes) {
  const RouteKey hot = 42;
  Router::Time now = kNow;
  // A fiftieth of all reads is a tenth of a server's share for each of two.
  Router some(Names(4), {.hot_reads = 8});
  const auto two = ReadsOfHot(some, hot, 50, now);
  ASSERT_EQ(two.size(), 2u);
  EXPECT_NEAR(two.at(some.Home(hot, 0)), two.at(some.Home(hot, 1)), 20);
  // Half of them is more than all servers can share so evenly.
  Router router(Names(8));
  const auto all = ReadsOfHot(router, hot, 1, now);
  EXPECT_GE(all.size(), 4u);
  for (const auto& [server, reads] : all) EXPECT_LT(reads, 2500);
  now += seconds(60);  // the demand is over
  EXPECT_EQ(router.Pick({Kind::kChunkRead, hot}, 1, now).server, router.Home(hot));
  // Writes and Lookups are not reads.
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(router.Pick({Kind::kChunk, 77}, 1, now).server, router.Home(77));
  }
}

TEST(Demand, AKeyThatIsReadNowAndThenIsCold) {
  DemandTable table;
  for (uint32_t window = 0; window < 200'000; ++window) {
    for (int i = 0; i < 4; ++i) ASSERT_LT(table.Count(1, window), 9u);
  }
}

TEST(Demand, AScanOfColdKeysDrivesNoHotOneOut) {
  DemandTable table;
  for (int i = 0; i < 100; ++i) table.Count(1, 7);
  for (const RouteKey key : Keys(50'000)) table.Count(key, 7);
  EXPECT_GT(table.Count(1, 7), 32u);
}

TEST(RouterThreads, CountsComeOutRight) {
  Router router(Names(5));
  std::vector<std::thread> threads;
  for (uint64_t seed = 0; seed < 4; ++seed) {
    threads.emplace_back([&router, seed] {
      std::mt19937_64 random(seed);
      for (int i = 0; i < 5000; ++i) {
        const Router::Time now = kNow + milliseconds(i);
        const auto choice = router.Pick({static_cast<Kind>(random() % 4), random() % 50}, 100, now);
        router.Start(choice.server, 100);
        const auto outcome = random() % 50 == 0 ? Outcome::kFailed : Outcome::kAnswered;
        router.Report(choice.server, outcome, milliseconds(random() % 300), now);
        if (const auto probe = router.NextProbe(now)) {
          router.Probed(*probe, random() % 4 != 0, now);
        }
        router.End(choice.server, 100);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const Router::Time later = kNow + seconds(100);
  while (const auto probe = router.NextProbe(later)) router.Probed(*probe, true, later);
  EXPECT_EQ(router.servers_up(), 5u);
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_TRUE(router.up(i));
    EXPECT_EQ(router.load(i), 0);
  }
}

TEST(RouterThreads, AThousandServersAreEasy) {
  Router router(Names(1000));
  std::vector<int> held(1000);
  for (const RouteKey key : Keys(20'000)) ++held[PickChunk(router, key)];
  EXPECT_LT(*std::max_element(held.begin(), held.end()), 60);
}

}  // namespace
}  // namespace kvstore::client
