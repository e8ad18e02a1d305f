// Workloads made up to find out where a policy fails, and variations of a trace.
#ifndef BENCHMARKS_EVICTION_WORKLOADS_H_
#define BENCHMARKS_EVICTION_WORKLOADS_H_

#include <optional>
#include <string>
#include <vector>

#include "benchmarks/eviction/simulate.h"

namespace kvstore::eviction_sim {

struct Workload {
  Prompts prompts;
  std::vector<size_t> capacities;  // that are of interest
};

std::vector<std::string> WorkloadNames();

// Always the same for a name; nullopt for a name that is none.
std::optional<Workload> MakeWorkload(const std::string& name);

// The requests in reverse order.
Prompts Reversed(const Prompts& prompts);

// About a third of the conversations: those of requests that share more than the first block.
Prompts ThirdOfSessions(const Prompts& prompts);

}  // namespace kvstore::eviction_sim

#endif  // BENCHMARKS_EVICTION_WORKLOADS_H_
