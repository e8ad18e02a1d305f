#include "KVClient/src/server_list.h"

#include <cstdlib>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace kvstore::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(ServerList, TakesWhatUsersWrite) {
  const auto servers = ParseServerList(
      " localhost:50051, kv-1.example ,[::1]:7000,[fe80::1], "
      "dns:///kv:9,ipv6:[::1]:8,unix:/tmp/kv.sock");
  ASSERT_TRUE(servers.ok()) << servers.status();
  EXPECT_THAT(*servers,
              ElementsAre("localhost:50051", "kv-1.example:50051", "[::1]:7000", "[fe80::1]:50051",
                          "dns:///kv:9", "ipv6:[::1]:8", "unix:/tmp/kv.sock"));
}

TEST(ServerList, SaysWhatIsWrong) {
  std::string too_many = "a";
  for (size_t i = 0; i < kMaxServers; ++i) too_many += ",a";
  const struct {
    const char* list;
    const char* says;
  } kCases[] = {
      {"", "item 1 is empty"},
      {"a:1,,b:2", "item 2 is empty"},
      {"a:1,", "item 2 is empty"},
      {"a:", "port"},
      {"a:0", "port"},
      {"a:65536", "port"},
      {"a:99999999999999", "port"},
      {"a:12x", "port"},
      {"a:-1", "port"},
      {"[::1]:", "port"},
      {":50051", "no host"},
      {"::1", "brackets"},
      {"[::1", "not closed"},
      {"[::1]50051", "expected :port"},
      {"[]:1", "no IPv6 address"},
      {"http://kv:1", "without a scheme"},
      {"a b:1", "host name"},
      {"unix:", "no path"},
      {too_many.c_str(), "at most 256"},
  };
  for (const auto& [list, says] : kCases) {
    const auto servers = ParseServerList(list);
    EXPECT_EQ(servers.status().code(), absl::StatusCode::kInvalidArgument) << list;
    EXPECT_THAT(std::string(servers.status().message()), HasSubstr(says)) << list;
  }
}

TEST(ServerList, FallsBackToTheEnvironmentAndThenToLocalhost) {
  unsetenv("KVSTORE_GRPC_SERVER");
  EXPECT_EQ(ServerListOrDefault(""), "localhost:50051");
  setenv("KVSTORE_GRPC_SERVER", "kv:1,kv:2", 1);
  EXPECT_EQ(ServerListOrDefault(""), "kv:1,kv:2");
  EXPECT_EQ(ServerListOrDefault("other:1"), "other:1");
}

}  // namespace
}  // namespace kvstore::client
