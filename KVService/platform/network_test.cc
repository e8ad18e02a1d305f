#include "KVService/platform/network.h"

#include <gtest/gtest.h>

#include <set>

namespace kvstore {
namespace {

TEST(NetworkTest, ListsEachInterfaceOnceWithAddressesThatOthersCanReach) {
  const auto interfaces = UsableInterfaces();
  ASSERT_TRUE(interfaces.ok()) << interfaces.status();
  std::set<std::string> names;
  for (const NetworkInterface& interface : *interfaces) {
    EXPECT_TRUE(names.insert(interface.name).second) << interface.name;
    EXPECT_FALSE(interface.addresses.empty()) << interface.name;
    for (const std::string& address : interface.addresses) {
      EXPECT_NE(FamilyOf(address), AddressFamily::kNone) << address;
      EXPECT_FALSE(IsLoopback(address)) << address;
      EXPECT_NE(address.substr(0, 4), "fe80") << address;
    }
  }
  EXPECT_EQ(names.count("lo"), 0);
}

TEST(NetworkTest, TellsAddressesFromNames) {
  EXPECT_EQ(FamilyOf("10.1.2.3"), AddressFamily::kIpv4);
  EXPECT_EQ(FamilyOf("fd00::1"), AddressFamily::kIpv6);
  for (const char* name : {"", "10.1.2", "10.1.2.300", "example.com", "[::1]"}) {
    EXPECT_EQ(FamilyOf(name), AddressFamily::kNone) << name;
  }
}

TEST(NetworkTest, KnowsTheLoopback) {
  for (const char* host : {"127.0.0.1", "127.9.8.7", "::1", "[::1]", "localhost"}) {
    EXPECT_TRUE(IsLoopback(host)) << host;
  }
  for (const char* host : {"", "128.0.0.1", "fd00::1", "example.com", "127.example.com", "[]"}) {
    EXPECT_FALSE(IsLoopback(host)) << host;
  }
}

}  // namespace
}  // namespace kvstore
