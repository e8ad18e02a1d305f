#include "benchmarks/cluster_sim/lru_fleet.h"

namespace kvstore::cluster_sim {

LruFleet::LruFleet(size_t servers, size_t blocks_each)
    : blocks_each_(blocks_each), heads_(servers) {}

void LruFleet::Unlink(uint32_t node) {
  const Node& it = nodes_[node];
  Head& head = heads_[it.server];
  (it.newer == kNone ? head.newest : nodes_[it.newer].older) = it.older;
  (it.older == kNone ? head.oldest : nodes_[it.older].newer) = it.newer;
  --head.held;
}

void LruFleet::PushNewest(uint32_t node) {
  Node& it = nodes_[node];
  Head& head = heads_[it.server];
  it.newer = kNone;
  it.older = head.newest;
  (head.newest == kNone ? head.oldest : nodes_[head.newest].newer) = node;
  head.newest = node;
  ++head.held;
}

void LruFleet::Drop(uint32_t node) {
  Unlink(node);
  at_.erase(KeyOf(nodes_[node].server, nodes_[node].block));
  free_.push_back(node);
}

bool LruFleet::Read(uint32_t server, uint32_t block) {
  const auto it = at_.find(KeyOf(server, block));
  if (it != at_.end()) {
    Unlink(it->second);
    PushNewest(it->second);
    return true;
  }
  if (heads_[server].held >= blocks_each_) Drop(heads_[server].oldest);
  if (free_.empty()) {
    free_.push_back(static_cast<uint32_t>(nodes_.size()));
    nodes_.push_back({});
  }
  const uint32_t node = free_.back();
  free_.pop_back();
  nodes_[node] = {server, block, kNone, kNone};
  PushNewest(node);
  at_.emplace(KeyOf(server, block), node);
  return false;
}

void LruFleet::Clear(uint32_t server) {
  while (heads_[server].held > 0) Drop(heads_[server].oldest);
}

}  // namespace kvstore::cluster_sim
