#include <numa.h>
#include <numaif.h>
#include <spdlog/fmt/fmt.h>

#include <cerrno>
#include <cstring>

#include "KVService/platform/numa.h"

namespace kvstore {

absl::Status PreferMemoryOfNode(int number) {
  if (numa_available() < 0) {
    return absl::FailedPreconditionError("the system has no NUMA policies, or forbids them");
  }
  if (number < 0 || number > numa_max_node() ||
      !numa_bitmask_isbitset(numa_all_nodes_ptr, static_cast<unsigned>(number))) {
    return absl::FailedPreconditionError(
        fmt::format("node {} has no memory that this process may use", number));
  }
  bitmask* const nodes = numa_allocate_nodemask();
  numa_bitmask_setbit(nodes, static_cast<unsigned>(number));
  // Not numa_set_preferred, which writes its errors to the console. And preferred, not bound: with
  // the node full, memory of another is slow where none would be the end of the process. One bit
  // more than the mask has, since the system counts so.
  const long failed = set_mempolicy(MPOL_PREFERRED, nodes->maskp, nodes->size + 1);
  const int error = errno;
  numa_bitmask_free(nodes);
  if (failed == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(
      fmt::format("cannot prefer the memory of node {}: {}", number, std::strerror(error)));
}

}  // namespace kvstore
