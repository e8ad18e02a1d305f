// The policies that the simulator compares. All but `ours` live here only.
#ifndef BENCHMARKS_EVICTION_POLICIES_H_
#define BENCHMARKS_EVICTION_POLICIES_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace kvstore::eviction_sim {

// A cache of block ids. Single-threaded.
class Policy {
 public:
  virtual ~Policy() = default;
  virtual bool Contains(uint32_t id) const = 0;

  // Request number `number` found the first `found` blocks of `prompt` and writes the others.
  virtual void Request(size_t number, std::span<const uint32_t> prompt, size_t found) = 0;
};

// Least recently used; a prompt's blocks are used deepest first, so that parents outlive children.
std::unique_ptr<Policy> MakeLru(size_t capacity);

// S3-FIFO (Yang et al., SOSP 2023): a small queue of a tenth, a main one, and a ghost queue as long
// as that. Deepest first, too.
std::unique_ptr<Policy> MakeS3Fifo(size_t capacity);

// The server's own: KVService/eviction/prefix_policy.h.
std::unique_ptr<Policy> MakeOurs(size_t capacity);

// Belady's optimum, which knows the future: gives up what is used again last, and does not take in
// what is used later than all that is there. `next_uses` as NextUses gives it; outlives the policy.
// Of blocks that are used again by the same request, the deepest goes first (`deepest_first`), as
// prefixes would have it, or the shallowest, as Belady for independent blocks may.
std::unique_ptr<Policy> MakeBelady(size_t capacity,
                                   const std::vector<std::vector<uint32_t>>& next_uses,
                                   bool deepest_first);

}  // namespace kvstore::eviction_sim

#endif  // BENCHMARKS_EVICTION_POLICIES_H_
