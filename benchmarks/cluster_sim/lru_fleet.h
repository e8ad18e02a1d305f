// The RAM tiers of many servers, each a cache of so many blocks with LRU.
#ifndef BENCHMARKS_CLUSTER_SIM_LRU_FLEET_H_
#define BENCHMARKS_CLUSTER_SIM_LRU_FLEET_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace kvstore::cluster_sim {

// LRU and not the server's own policy, since this is about routing: what a fleet loses against one
// cache of its whole size, under one and the same policy. Not thread-safe.
class LruFleet {
 public:
  LruFleet(size_t servers, size_t blocks_each);

  // A read of the block at that server, which has it from then on. Whether it had it before.
  bool Read(uint32_t server, uint32_t block);

  size_t held(uint32_t server) const { return heads_[server].held; }
  // Of all blocks at all servers.
  size_t copies() const { return at_.size(); }

  void Clear(uint32_t server);

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  struct Node {
    uint32_t server, block;
    uint32_t newer, older;
  };
  struct Head {
    uint32_t newest = kNone, oldest = kNone;
    uint32_t held = 0;
  };

  static uint64_t KeyOf(uint32_t server, uint32_t block) { return uint64_t{server} << 32 | block; }
  void Unlink(uint32_t node);
  void PushNewest(uint32_t node);
  void Drop(uint32_t node);

  const size_t blocks_each_;
  std::vector<Head> heads_;
  std::vector<Node> nodes_;
  std::vector<uint32_t> free_;
  absl::flat_hash_map<uint64_t, uint32_t> at_;
};

}  // namespace kvstore::cluster_sim

#endif  // BENCHMARKS_CLUSTER_SIM_LRU_FLEET_H_
