// The machine's NUMA nodes, and keeping a process to one of them.
#ifndef KVSERVICE_PLATFORM_NUMA_H_
#define KVSERVICE_PLATFORM_NUMA_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace kvstore {

struct NumaNode {
  int number = 0;             // the system's; they may have gaps
  std::vector<int> cpus;      // that are online, ascending; none in a node of memory alone
  uint64_t memory_bytes = 0;  // 0: none, or not told
};

// The system's way to write sets, "0-15,32-47"; nothing is the empty set. INVALID_ARGUMENT unless
// the numbers ascend and none is kMostCpus or more.
inline constexpr int kMostCpus = 1 << 16;
absl::StatusOr<std::vector<int>> ParseCpuList(std::string_view text);
// And back. REQUIRES: ascending.
std::string FormatCpuList(const std::vector<int>& cpus);

// Where the system describes its nodes; tests give folders of the same form.
std::string SystemNumaDirectory();

// The nodes that are online, ascending. NOT_FOUND where the system tells none; DATA_LOSS where what
// it tells makes no sense.
absl::StatusOr<std::vector<NumaNode>> ReadNumaNodes(const std::string& directory);

// Those of the processors that the calling thread may run on; all of them where that is not told.
std::vector<int> UsableCpus(std::vector<int> cpus);

// Of these nodes the ones for servers to live in, each with the processors that the calling thread
// may run on. Those that have none are left out: nodes of memory alone, or another container's.
std::vector<NumaNode> NumaHomes(std::vector<NumaNode> nodes);

// The node of that number among the nodes. NOT_FOUND, with the numbers that there are.
absl::StatusOr<NumaNode> FindNumaNode(const std::vector<NumaNode>& nodes, int number);

// Windows numbers processors in groups of up to 64, so that a processor's group is its number
// divided by that. Elsewhere there are no groups.
inline constexpr int kProcessorGroupSize = 64;
bool HasProcessorGroups();

// What of these nodes lies in the group, as one, whose number is the first's. NOT_FOUND, with the
// groups that there are, where that is no processor. REQUIRES: nodes.
absl::StatusOr<NumaNode> InProcessorGroup(const std::vector<NumaNode>& nodes, int group);

// Confines the calling thread, and those that it starts from now on, to the node's processors, of
// those that it may run on already. FAILED_PRECONDITION where these are none; UNAVAILABLE where the
// system refuses.
absl::Status RunOnNode(const NumaNode& node);

// Has memory that these threads touch from now on come from the node while it has some.
// UNIMPLEMENTED in a build without libnuma; FAILED_PRECONDITION where the system has no such node
// or does not let us. Then it comes, as always, from where the thread runs that touches it first.
absl::Status PreferMemoryOfNode(int number);

}  // namespace kvstore

#endif  // KVSERVICE_PLATFORM_NUMA_H_
