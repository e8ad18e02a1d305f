// Runs traces through eviction policies. A trace is a list of prompts, a prompt a list of block
// ids; equal ids stand for equal blocks behind equal prefixes.
//
// A request looks its prompt up and then writes what is missing. Hits are the leading blocks that
// are there, of all blocks asked for: a block behind a gap is of no use.
#ifndef BENCHMARKS_EVICTION_SIMULATE_H_
#define BENCHMARKS_EVICTION_SIMULATE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "benchmarks/eviction/policies.h"

namespace kvstore::eviction_sim {

struct Prompts {
  std::vector<std::vector<uint32_t>> requests;
};

// The share of hits with `policy` at its capacity.
double HitRatio(const Prompts& prompts, Policy& policy);

// Of a cache without bounds.
double IdealHitRatio(const Prompts& prompts);

// For each request and block: the number of the next request that has the block, or UINT32_MAX.
std::vector<std::vector<uint32_t>> NextUses(const Prompts& prompts);

// Cuts every block into `parts` smaller ones.
Prompts Split(const Prompts& prompts, uint32_t parts);

}  // namespace kvstore::eviction_sim

#endif  // BENCHMARKS_EVICTION_SIMULATE_H_
