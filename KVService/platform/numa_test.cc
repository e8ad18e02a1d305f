#include "KVService/platform/numa.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "KVCommon/processors.h"
#include "KVService/platform/temp_dir.h"

namespace kvstore {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// What the system shows of a node.
struct Recorded {
  int number;
  std::string cpulist;
  uint64_t memory_kib;
};

// A folder as /sys/devices/system/node is, with what a machine showed there.
class Tree {
 public:
  Tree(const std::string& online, const std::vector<Recorded>& nodes) {
    Write("online", online + "\n");
    for (const Recorded& node : nodes) {
      const std::string folder = "node" + std::to_string(node.number);
      std::filesystem::create_directory(path() + "/" + folder);
      Write(folder + "/cpulist", node.cpulist + "\n");
      std::ostringstream meminfo;
      meminfo << "Node " << node.number << " MemTotal:       " << node.memory_kib << " kB\nNode "
              << node.number << " MemFree:        " << node.memory_kib / 2 << " kB\n";
      Write(folder + "/meminfo", meminfo.str());
    }
  }
  const std::string& path() const { return directory_.path(); }
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(path() + "/" + name) << text;
  }

 private:
  testing::TempDir directory_;
};

std::vector<int> Range(int first, int last) {
  std::vector<int> all;
  for (int i = first; i <= last; ++i) all.push_back(i);
  return all;
}

std::vector<int> Both(std::vector<int> a, const std::vector<int>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

std::vector<std::string> Lists(const std::vector<NumaNode>& nodes) {
  std::vector<std::string> lists;
  for (const NumaNode& node : nodes) {
    lists.push_back(std::to_string(node.number) + ":" + FormatCpuList(node.cpus));
  }
  return lists;
}

// What this thread may run on, as the system tells it.
std::string AllowedHere() {
  std::ifstream status("/proc/thread-self/status");
  const std::string name = "Cpus_allowed_list:\t";
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(name)) return line.substr(name.size());
  }
  return "";
}

TEST(CpuListTest, ReadsRangesAndNumbers) {
  EXPECT_THAT(*ParseCpuList("0"), ElementsAre(0));
  EXPECT_THAT(*ParseCpuList("0-3\n"), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(*ParseCpuList("1,3,5-6"), ElementsAre(1, 3, 5, 6));
  EXPECT_EQ(*ParseCpuList("0-15,32-47"), Both(Range(0, 15), Range(32, 47)));
  EXPECT_THAT(*ParseCpuList(""), IsEmpty());
  EXPECT_THAT(*ParseCpuList("\n"), IsEmpty());
  EXPECT_EQ(ParseCpuList("0-65535")->size(), kMostCpus);
}

TEST(CpuListTest, RefusesAllElse) {
  for (const char* text : {"-",   "-1",   "0-",    "a",       "0,",
                           ",0",  "0,,1", "3-1",   "1,0",     "0-2,2-3",
                           "0 1", "0;1",  "65536", "0-65536", "99999999999999999999",
                           "0x1", "+1",   "1-+2",  "0--1",    "0-3:1/2",
                           " 0",  "0\n1"}) {
    const auto cpus = ParseCpuList(text);
    EXPECT_TRUE(absl::IsInvalidArgument(cpus.status())) << text;
    EXPECT_THAT(cpus.status().message(), HasSubstr("0-15,32-47")) << text;
  }
}

TEST(CpuListTest, WritesWhatItReads) {
  for (const char* text : {"", "0", "0-1", "0-15,32-47", "1,3,5-6", "7,9-65535"}) {
    EXPECT_EQ(FormatCpuList(*ParseCpuList(text)), text);
  }
}

TEST(NumaNodesTest, ReadsAMachineOfOneNode) {
  Tree tree("0", {{0, "0-1", 24'609'332}});
  const auto nodes = ReadNumaNodes(tree.path());
  ASSERT_TRUE(nodes.ok()) << nodes.status();
  EXPECT_THAT(Lists(*nodes), ElementsAre("0:0-1"));
  EXPECT_EQ(nodes->front().memory_bytes, uint64_t{24'609'332} << 10);
}

TEST(NumaNodesTest, ReadsTwoSocketsWithTheirHyperthreads) {
  Tree tree("0-1", {{0, "0-15,32-47", 131'841'968}, {1, "16-31,48-63", 132'116'480}});
  const auto nodes = ReadNumaNodes(tree.path());
  ASSERT_TRUE(nodes.ok()) << nodes.status();
  EXPECT_THAT(Lists(*nodes), ElementsAre("0:0-15,32-47", "1:16-31,48-63"));
  EXPECT_EQ((*nodes)[0].cpus.size(), 32);
  EXPECT_EQ((*nodes)[1].memory_bytes, uint64_t{132'116'480} << 10);
}

TEST(NumaNodesTest, ReadsFourNodesWithProcessorsOffline) {
  // Processor 5 and all of node 3's upper half were turned off.
  Tree tree(
      "0-3",
      {{0, "0-3", 1 << 20}, {1, "4,6-7", 1 << 20}, {2, "8-11", 1 << 20}, {3, "12-13", 1 << 20}});
  const auto nodes = ReadNumaNodes(tree.path());
  ASSERT_TRUE(nodes.ok()) << nodes.status();
  EXPECT_THAT(Lists(*nodes), ElementsAre("0:0-3", "1:4,6-7", "2:8-11", "3:12-13"));
}

TEST(NumaNodesTest, ReadsEightNodesWithGapsAndMemoryAlone) {
  // Four sockets' nodes with gaps between their numbers, and CXL memory behind each.
  Tree tree("0,2,4,6,8-11", {{0, "0-7", 1 << 20},
                             {2, "8-15", 1 << 20},
                             {4, "16-23", 1 << 20},
                             {6, "24-31", 1 << 20},
                             {8, "", 1 << 21},
                             {9, "", 1 << 21},
                             {10, "", 1 << 21},
                             {11, "", 1 << 21}});
  const auto nodes = ReadNumaNodes(tree.path());
  ASSERT_TRUE(nodes.ok()) << nodes.status();
  EXPECT_THAT(Lists(*nodes),
              ElementsAre("0:0-7", "2:8-15", "4:16-23", "6:24-31", "8:", "9:", "10:", "11:"));
  EXPECT_EQ(nodes->back().memory_bytes, uint64_t{1} << 31);
}

TEST(NumaNodesTest, LeavesOutNodesThatAreOffline) {
  Tree tree("1", {{0, "0-3", 1 << 20}, {1, "4-7", 1 << 20}});
  EXPECT_THAT(Lists(*ReadNumaNodes(tree.path())), ElementsAre("1:4-7"));
}

TEST(NumaNodesTest, ANodeWithoutMemoryIsOne) {
  Tree tree("0", {{0, "0", 0}});
  std::filesystem::remove(tree.path() + "/node0/meminfo");
  EXPECT_EQ(ReadNumaNodes(tree.path())->front().memory_bytes, 0);
}

TEST(NumaNodesTest, SaysWhatIsWrongWithATree) {
  EXPECT_TRUE(absl::IsNotFound(ReadNumaNodes("/nonexistent").status()));
  Tree none("", {});
  EXPECT_TRUE(absl::IsNotFound(ReadNumaNodes(none.path()).status()));
  Tree garbled("0-1", {{0, "0-", 0}, {1, "1", 0}});
  EXPECT_TRUE(absl::IsDataLoss(ReadNumaNodes(garbled.path()).status()));
  EXPECT_THAT(ReadNumaNodes(garbled.path()).status().message(), HasSubstr("node0/cpulist"));
  Tree missing("0-1", {{0, "0", 0}});
  EXPECT_TRUE(absl::IsDataLoss(ReadNumaNodes(missing.path()).status()));
  Tree huge("0", {{0, std::string(100'000, '0'), 0}});
  EXPECT_TRUE(absl::IsDataLoss(ReadNumaNodes(huge.path()).status()));
}

TEST(NumaNodesTest, NamesTheNodesThatThereAre) {
  const std::vector<NumaNode> nodes = {{0, {0}, 0}, {2, {1}, 0}};
  EXPECT_EQ(FindNumaNode(nodes, 2)->cpus, std::vector<int>{1});
  const auto wrong = FindNumaNode(nodes, 1);
  EXPECT_TRUE(absl::IsNotFound(wrong.status()));
  EXPECT_THAT(wrong.status().message(), HasSubstr("this machine has 0, 2"));
}

TEST(NumaNodesTest, ThisMachineHasAHome) {
  const auto nodes = ReadNumaNodes(SystemNumaDirectory());
  if (absl::IsNotFound(nodes.status())) GTEST_SKIP() << nodes.status();
  ASSERT_TRUE(nodes.ok()) << nodes.status();
  EXPECT_FALSE(NumaHomes(*nodes).empty());
}

// Each in a thread of its own, which is all that is pinned.
template <typename Work>
void InAThread(Work work) {
  std::thread(work).join();
}

TEST(NumaPinningTest, RunsOnTheNodesProcessorsAlone) {
  const std::vector<int> mine = *ParseCpuList(AllowedHere());
  for (const int cpu : mine) {
    InAThread([&] {
      ASSERT_TRUE(RunOnNode({7, {cpu, kMostCpus - 1}, 0}).ok());
      EXPECT_EQ(AllowedHere(), std::to_string(cpu));
      EXPECT_EQ(UsableProcessors(), 1);
      InAThread([&] { EXPECT_EQ(AllowedHere(), std::to_string(cpu)) << "threads inherit it"; });
    });
  }
  EXPECT_EQ(*ParseCpuList(AllowedHere()), mine);
  EXPECT_EQ(UsableProcessors(), mine.size());
}

TEST(NumaPinningTest, WidensNoSetThatItWasGiven) {
  const std::vector<int> mine = *ParseCpuList(AllowedHere());
  if (mine.size() < 2) GTEST_SKIP() << "there is one processor";
  InAThread([&] {
    ASSERT_TRUE(RunOnNode({0, {mine[0]}, 0}).ok());
    const absl::Status other = RunOnNode({1, {mine[1]}, 0});
    EXPECT_TRUE(absl::IsFailedPrecondition(other)) << other;
    EXPECT_THAT(other.message(), HasSubstr("may run on '" + std::to_string(mine[0]) + "' only"));
    EXPECT_EQ(AllowedHere(), std::to_string(mine[0]));
    EXPECT_TRUE(RunOnNode({0, mine, 0}).ok());
    EXPECT_EQ(AllowedHere(), std::to_string(mine[0]));
    // Of two nodes only one is a home for what is started here.
    EXPECT_THAT(Lists(NumaHomes({{0, {mine[0]}, 0}, {1, {mine[1]}, 0}, {2, {}, 1}})),
                ElementsAre("0:" + std::to_string(mine[0])));
  });
}

TEST(NumaPinningTest, PrefersMemoryOfNodesThatThereAre) {
  InAThread([] {
    const absl::Status absent = PreferMemoryOfNode(4711);
    EXPECT_FALSE(absent.ok());
    if (absl::IsUnimplemented(absent)) return;  // a build without libnuma
    EXPECT_FALSE(PreferMemoryOfNode(-1).ok());
    const auto nodes = ReadNumaNodes(SystemNumaDirectory());
    if (!nodes.ok() || !PreferMemoryOfNode(nodes->front().number).ok()) return;  // not allowed to
    std::ifstream maps("/proc/thread-self/numa_maps");
    std::ostringstream text;
    text << maps.rdbuf();
    if (!text.str().empty()) {
      EXPECT_THAT(text.str(), HasSubstr("prefer:" + std::to_string(nodes->front().number)));
    }
  });
}

TEST(ProcessorGroupTest, ANodesPartInAGroupIsANode) {
  // 48 processors a node, of which groups of 64 cut the second in two.
  const std::vector<NumaNode> nodes = {{0, Range(0, 47), 100}, {1, Range(48, 95), 200}};
  const auto first = InProcessorGroup(nodes, 0);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(FormatCpuList(first->cpus), "0-63");
  EXPECT_EQ(first->memory_bytes, 300);
  const auto part = InProcessorGroup({nodes[1]}, 1);
  ASSERT_TRUE(part.ok()) << part.status();
  EXPECT_EQ(part->number, 1);
  EXPECT_EQ(FormatCpuList(part->cpus), "64-95");
  EXPECT_EQ(part->memory_bytes, 200);
  const auto none = InProcessorGroup({nodes[0]}, 1);
  EXPECT_TRUE(absl::IsNotFound(none.status()));
  EXPECT_THAT(none.status().ToString(), HasSubstr("group 1; there are some in 0"));
}

}  // namespace
}  // namespace kvstore
