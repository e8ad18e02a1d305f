// A fleet of servers over one container, and clients that find their way by the client library's
// own routing code (KVClient/src/routing.h).
#ifndef BENCHMARKS_CLUSTER_SIM_SIMULATE_H_
#define BENCHMARKS_CLUSTER_SIM_SIMULATE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace kvstore::cluster_sim {

struct FleetOptions {
  size_t servers = 1000;
  size_t clients = 16;         // each knows only its own load
  size_t blocks = 10'000'000;  // different ones, in all conversations
  double cached = 0.2;         // of them, what the RAM of all servers holds
  size_t requests = 200'000;   // a phase
  size_t in_flight = 64;       // requests at a time
  uint64_t seed = 1;
};

// What came of one phase.
struct Phase {
  std::string name;
  size_t servers_up = 0;
  uint64_t reads = 0;
  double hit_ratio = 0;    // of the servers that were asked
  double one_cache = 0;    // of one cache as large as all of those
  double max_to_mean = 0;  // reads of the busiest server to the mean of those up
  double p99_to_mean = 0;
  double overflowed = 0;    // share of reads that went past a home with too much to do
  double further_home = 0;  // and to a hot block's second
};

struct Placement {
  double max_to_mean = 0;  // blocks at home, of all servers
  // Of all blocks, those whose home is another once 1 % or 10 % of the servers are gone, and what
  // would have to move at least.
  double moved_1 = 0, least_1 = 0;
  double moved_10 = 0, least_10 = 0;
};

// Where the homes of all blocks are.
Placement Place(const FleetOptions& options);

// Phases one after another, with what is cached kept from one to the next: cold, warm, just after
// the loss of 1 % of the servers and when that has settled, the same for 10 %.
std::vector<Phase> Simulate(const FleetOptions& options);

}  // namespace kvstore::cluster_sim

#endif  // BENCHMARKS_CLUSTER_SIM_SIMULATE_H_
