#include "KVService/launch_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace kvstore {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::vector<NumaNode> kTwo = {{0, {0}, 0}, {2, {1}, 0}};
const MachineShare kMachine = {uint64_t{8} << 30, uint64_t{1} << 40, 10'000'000};

std::string Joined(const std::vector<std::string>& arguments) {
  std::string all;
  for (const std::string& argument : arguments) all += (all.empty() ? "" : " ") + argument;
  return all;
}

// What the launcher makes of a command line, and what each server reads it as.
struct Planned {
  explicit Planned(const std::string& line, const std::vector<NumaNode>& homes = kTwo) {
    const ServerOptions given = Parse(line);
    std::istringstream words(line);
    std::vector<std::string> arguments;
    for (std::string word; words >> word;) arguments.push_back(word);
    auto made = PlanServers(given, homes, arguments, kMachine);
    status = made.status();
    if (!made.ok()) return;
    plan = *std::move(made);
    for (const LaunchedServer& server : plan.servers) {
      servers.push_back(Parse(Joined(server.arguments)));
    }
  }
  static ServerOptions Parse(const std::string& line) {
    std::istringstream words("KVStoreServer " + line);
    std::vector<std::string> arguments;
    for (std::string word; words >> word;) arguments.push_back(word);
    std::vector<char*> pointers;
    for (std::string& argument : arguments) pointers.push_back(argument.data());
    auto parsed = ParseCommandLine(static_cast<int>(pointers.size()), pointers.data());
    EXPECT_TRUE(std::holds_alternative<ServerOptions>(parsed)) << line;
    return std::holds_alternative<ServerOptions>(parsed) ? std::get<ServerOptions>(parsed)
                                                         : ServerOptions{};
  }

  absl::Status status;
  LaunchPlan plan;
  std::vector<ServerOptions> servers;
};

TEST(LaunchPlanTest, SharesWhatTheMachineHas) {
  const Planned planned("--numa auto");
  ASSERT_TRUE(planned.status.ok()) << planned.status;
  ASSERT_EQ(planned.servers.size(), 2);
  EXPECT_EQ(planned.plan.metrics_port, 0);
  for (int i = 0; i < 2; ++i) {
    const ServerOptions& server = planned.servers[static_cast<size_t>(i)];
    EXPECT_FALSE(server.numa_auto) << "it would start servers itself";
    EXPECT_EQ(server.numa_node, 2 * i);
    EXPECT_EQ(server.port, 50051 + i);
    EXPECT_EQ(server.metrics_port, 0);
    EXPECT_EQ(server.threads, 0);
    EXPECT_EQ(server.memory_bytes, uint64_t{4} << 30);
    EXPECT_EQ(server.capacity_bytes, uint64_t{1} << 39);
    EXPECT_EQ(server.data_dir, "kvstore-data/node" + std::to_string(2 * i));
    EXPECT_FALSE(server.index_blocks);
  }
}

TEST(LaunchPlanTest, SharesWhatTheOptionsGive) {
  const Planned planned(
      "--numa=auto --port=7000 --metrics-port 7100 --memory 3GiB --capacity=5GiB --data-dir /d "
      "--threads 9 --durability each --disable-metrics");
  ASSERT_TRUE(planned.status.ok()) << planned.status;
  EXPECT_EQ(planned.plan.metrics_port, 7102);
  for (int i = 0; i < 2; ++i) {
    const ServerOptions& server = planned.servers[static_cast<size_t>(i)];
    EXPECT_EQ(server.port, 7000 + i);
    EXPECT_EQ(server.metrics_port, 7100 + i);
    EXPECT_EQ(server.threads, i == 0 ? 5 : 4);
    EXPECT_EQ(server.memory_bytes, uint64_t{3} << 29);
    EXPECT_EQ(server.capacity_bytes, uint64_t{5} << 29);
    EXPECT_EQ(server.data_dir, "/d/node" + std::to_string(2 * i));
    EXPECT_EQ(server.durability, "each");
    EXPECT_FALSE(server.metrics);
  }
}

TEST(LaunchPlanTest, SharesTheTierAndIndexBeforeAzure) {
  const Planned planned(
      "--numa auto --storage azure --cache-dir /c --index-blocks 5000 --memory 0");
  ASSERT_TRUE(planned.status.ok()) << planned.status;
  EXPECT_EQ(planned.servers[1].cache_dir, "/c/node2");
  EXPECT_EQ(planned.servers[1].cache_capacity_bytes, uint64_t{1} << 39);
  EXPECT_EQ(planned.servers[1].index_blocks, 2500);
  EXPECT_EQ(planned.servers[1].memory_bytes, 0);
  EXPECT_EQ(planned.servers[1].data_dir, "kvstore-data");

  const Planned none("--numa auto --storage azure");
  EXPECT_EQ(none.servers[0].cache_dir, "");
  EXPECT_EQ(none.servers[0].index_blocks, 5'000'000);
}

TEST(LaunchPlanTest, FreePortsStayFreeOnes) {
  const Planned planned("--numa auto --port 0 --metrics-port 50060");
  EXPECT_EQ(planned.servers[0].port, 0);
  EXPECT_EQ(planned.servers[1].port, 0);
  EXPECT_EQ(planned.plan.metrics_port, 50062);
}

TEST(LaunchPlanTest, SaysWhatCannotBeShared) {
  const std::pair<const char*, const char*> cases[] = {
      {"--port 65535", "take 65534 or less"},
      {"--metrics-port 65534", "take 65533 or less"},
      {"--port 50051 --metrics-port 50052", "meet"},
      {"--port 50053 --metrics-port 50051", "meet"},
      {"--threads 1", "less than one for each"},
      {"--threads 5", "at least 3"},
      {"--capacity 20MiB", "16MiB is the least"},
      {"--storage azure --index-blocks 2000", "1024 is the least"},
  };
  for (const auto& [line, message] : cases) {
    const absl::Status status = Planned("--numa auto " + std::string(line)).status;
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << line;
    EXPECT_THAT(status.message(), HasSubstr(message)) << line;
  }
  EXPECT_TRUE(Planned("--numa auto --port 50054 --metrics-port 50051").status.ok());
}

TEST(RestartDelayTest, DoublesToABoundAndBeginsAnewAfterAGoodRun) {
  RestartDelay delay;
  for (const int64_t ms : {100, 200, 400, 800, 1600, 3200, 6400, 10'000, 10'000}) {
    EXPECT_EQ(delay.Next(absl::Seconds(1)), absl::Milliseconds(ms));
  }
  EXPECT_EQ(delay.Next(absl::Seconds(59)), absl::Seconds(10));
  EXPECT_EQ(delay.Next(absl::Seconds(60)), absl::Milliseconds(100));
  EXPECT_EQ(delay.Next(absl::ZeroDuration()), absl::Milliseconds(200));
}

TEST(OptionsTest, AServicesServersAreNoServices) {
  EXPECT_THAT(
      WithoutService({"--port", "1", "--service", "run", "--service=install", "--memory=2"}),
      ElementsAre("--port", "1", "--memory=2"));
  EXPECT_THAT(WithoutService({"--service"}), IsEmpty());
}

}  // namespace
}  // namespace kvstore
