#include "KVService/http/route_picker.h"

#include <gtest/gtest.h>

#include <map>

namespace kvstore::http {
namespace {

const absl::Time kStart = absl::FromUnixSeconds(1000);

class RoutePickerTest : public ::testing::Test {
 protected:
  RoutePickerTest()
      : sources_([this]() -> absl::StatusOr<std::vector<NetworkInterface>> {
          if (fails_) return absl::UnavailableError("no list");
          return interfaces_;
        }) {
    sources_.Refresh();
  }

  void Become(std::vector<NetworkInterface> interfaces) {
    interfaces_ = std::move(interfaces);
    sources_.Refresh();
  }

  Route Pick(const std::string& host, absl::Time now = kStart) {
    Route route;
    route.host = host;
    picker_.Pick(&route, now);
    return route;
  }
  // The whole of a request that connects, and where from.
  std::string Use(const std::string& host, absl::Time now = kStart) {
    Route route = Pick(host, now);
    picker_.Release(&route, /*connected=*/true, now);
    return route.source;
  }
  // A request that cannot connect from `bad` does from another.
  void FailOver(const std::string& bad, absl::Time now) {
    Route route = Pick("host", now);
    if (route.source != bad) {  // then it is next
      picker_.Release(&route, /*connected=*/true, now);
      route = Pick("host", now);
    }
    ASSERT_EQ(route.source, bad);
    ASSERT_TRUE(picker_.TryAnother(&route));
    picker_.Pick(&route, now);
    EXPECT_NE(route.source, bad);
    picker_.Release(&route, /*connected=*/true, now);
  }
  int UsesOf(const std::string& source, absl::Time now) {
    int uses = 0;
    for (int i = 0; i < 10; ++i) uses += Use("host", now) == source;
    return uses;
  }

  bool fails_ = false;
  std::vector<NetworkInterface> interfaces_ = {{"a", {"10.0.0.1", "10.0.0.9", "fd00::a"}},
                                               {"b", {"10.0.1.1", "fd00::b"}}};
  SourceAddresses sources_;
  RoutePicker picker_{&sources_};
};

TEST_F(RoutePickerTest, TakesTurnsWhenRequestsFollowEachOther) {
  std::map<std::string, int> uses;
  for (int i = 0; i < 100; ++i) ++uses[Use("host")];
  EXPECT_EQ(uses, (std::map<std::string, int>{{"10.0.0.1", 50}, {"10.0.1.1", 50}}));
}

TEST_F(RoutePickerTest, TakesTheOneWithTheFewestUnderWay) {
  std::vector<Route> routes;
  for (int i = 0; i < 10; ++i) routes.push_back(Pick("host"));
  const std::string busy = routes[0].source;
  for (Route& route : routes) {
    if (route.source != busy) picker_.Release(&route, true, kStart);
  }
  for (int i = 0; i < 5; ++i) EXPECT_NE(Pick("host").source, busy);
}

TEST_F(RoutePickerTest, TheSourceIsOfTheHostsFamily) {
  EXPECT_EQ(FamilyOf(Use("192.0.2.7")), AddressFamily::kIpv4);
  EXPECT_EQ(FamilyOf(Use("2001:db8::7")), AddressFamily::kIpv6);
  Become({{"a", {"10.0.0.1", "fd00::a"}}, {"b", {"fd00::b"}}});
  EXPECT_EQ(FamilyOf(Use("a-name")), AddressFamily::kIpv6);
}

TEST_F(RoutePickerTest, BindsNothingForTheLoopbackOrWithOneInterface) {
  for (const char* host : {"127.0.0.1", "::1", "localhost"}) EXPECT_EQ(Use(host), "") << host;
  interfaces_.resize(1);
  SourceAddresses one([this] { return interfaces_; });
  RoutePicker picker(&one);
  Route route;
  route.host = "host";
  picker.Pick(&route, kStart);
  EXPECT_EQ(route.source, "");
  RoutePicker off(nullptr);
  off.Pick(&route, kStart);
  EXPECT_EQ(route.source, "");
  EXPECT_FALSE(off.TryAnother(&route));
  EXPECT_FALSE(off.Lost(route));
}

TEST_F(RoutePickerTest, AFailedOneRestsAndIsTriedAgainByOneRequest) {
  FailOver("10.0.0.1", kStart);
  EXPECT_EQ(UsesOf("10.0.0.1", kStart + kFirstRest - absl::Seconds(1)), 0);
  const absl::Time later = kStart + kFirstRest;
  Route trial = Pick("host", later);
  EXPECT_EQ(trial.source, "10.0.0.1");
  EXPECT_TRUE(trial.fresh);
  EXPECT_EQ(UsesOf("10.0.0.1", later), 0);
  picker_.Release(&trial, /*connected=*/true, later);
  EXPECT_EQ(UsesOf("10.0.0.1", later), 5);
}

TEST_F(RoutePickerTest, EachFailedTrialDoublesTheRest) {
  absl::Time now = kStart;
  FailOver("10.0.0.1", now);
  for (absl::Duration rest = kFirstRest; rest < kLongestRest; rest *= 2) {
    EXPECT_EQ(UsesOf("10.0.0.1", now + rest - absl::Seconds(1)), 0) << rest;
    now += rest;
    FailOver("10.0.0.1", now);
  }
  now += kLongestRest;
  EXPECT_EQ(Pick("host", now).source, "10.0.0.1");
}

TEST_F(RoutePickerTest, AHostThatIsDownIsNoInterfacesFault) {
  Route route = Pick("host");
  while (picker_.TryAnother(&route)) picker_.Pick(&route, kStart);
  EXPECT_EQ(route.failed.size(), 2);
  EXPECT_EQ(route.source, "");  // the last resort
  picker_.Release(&route, /*connected=*/false, kStart);
  EXPECT_EQ(UsesOf("10.0.0.1", kStart), 5);
}

TEST_F(RoutePickerTest, AHostThatOnlyTheSystemReachesIsLeftToIt) {
  Route route = Pick("six-only");
  while (picker_.TryAnother(&route)) picker_.Pick(&route, kStart);
  EXPECT_TRUE(route.fresh);
  picker_.Release(&route, /*connected=*/true, kStart);
  EXPECT_EQ(Use("six-only", kStart + kUnboundTime - absl::Seconds(1)), "");
  EXPECT_NE(Use("six-only", kStart + kUnboundTime), "");
}

TEST_F(RoutePickerTest, FollowsTheListOfInterfaces) {
  Route route = Pick("host");
  while (route.source != "10.0.0.1") route = Pick("host");
  Become({{"b", {"10.0.1.1"}}});
  EXPECT_TRUE(picker_.Lost(route));
  // Bound still: unbound it could reuse a connection of the one that went.
  EXPECT_EQ(Use("host"), "10.0.1.1");
  fails_ = true;
  EXPECT_FALSE(sources_.Refresh());
  EXPECT_EQ(Use("host"), "10.0.1.1");
  fails_ = false;
  Become({{"a", {"10.0.0.1"}}, {"b", {"10.0.1.1"}}});
  EXPECT_FALSE(picker_.Lost(route));
}

}  // namespace
}  // namespace kvstore::http
