// What `--numa auto` starts: one server a node, that together take what one would.
#ifndef KVSERVICE_LAUNCH_PLAN_H_
#define KVSERVICE_LAUNCH_PLAN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "KVService/options.h"
#include "KVService/platform/numa.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace kvstore {

struct LaunchedServer {
  int node = 0;
  std::vector<std::string> arguments;  // its command line
};

struct LaunchPlan {
  std::vector<LaunchedServer> servers;
  int metrics_port = 0;  // of the launcher's own; 0: none
};

// What is to be shared where the options do not say.
struct MachineShare {
  uint64_t memory_bytes = 0;
  uint64_t capacity_bytes = 0;  // of the directory that the options name
  uint64_t index_blocks = 0;
};

// The servers' command lines are `arguments`, which the options were parsed from, and behind them
// what differs: the later one counts. Server i, of homes[i], has port and metrics port + i (port 0
// stays that), its own directory below the one named, and an equal share of memory, capacity, index
// and threads. The launcher's metrics port is the one after theirs. INVALID_ARGUMENT where ports
// run out or meet, or a share is too small. REQUIRES: homes.
absl::StatusOr<LaunchPlan> PlanServers(const ServerOptions& options,
                                       const std::vector<NumaNode>& homes,
                                       const std::vector<std::string>& arguments,
                                       const MachineShare& machine);

// Such as "unix:/run/kvstore/admin.node1", or the port + i. REQUIRES: Listener::Parse takes it.
std::string AdminAddressOfNode(const std::string& address, int node, int i);

// Such as "data/node1".
std::string DirectoryOfNode(const std::string& directory, int node);

// How long a server that ended by itself rests: 100 ms, doubled up to 10 s each time, and from the
// beginning again once it has run for a minute.
class RestartDelay {
 public:
  static constexpr absl::Duration kMin = absl::Milliseconds(100);
  static constexpr absl::Duration kMax = absl::Seconds(10);
  static constexpr absl::Duration kProven = absl::Minutes(1);

  // It has run so long.
  absl::Duration Next(absl::Duration ran);

 private:
  absl::Duration next_ = kMin;
};

}  // namespace kvstore

#endif  // KVSERVICE_LAUNCH_PLAN_H_
