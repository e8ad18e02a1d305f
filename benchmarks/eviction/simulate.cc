#include "benchmarks/eviction/simulate.h"

#include <unordered_map>
#include <unordered_set>

namespace kvstore::eviction_sim {

double HitRatio(const Prompts& prompts, Policy& policy) {
  size_t hits = 0, blocks = 0;
  for (size_t i = 0; i < prompts.requests.size(); ++i) {
    const std::span<const uint32_t> prompt = prompts.requests[i];
    size_t found = 0;
    while (found < prompt.size() && policy.Contains(prompt[found])) ++found;
    policy.Request(i, prompt, found);
    hits += found;
    blocks += prompt.size();
  }
  return blocks == 0 ? 0 : static_cast<double>(hits) / static_cast<double>(blocks);
}

double IdealHitRatio(const Prompts& prompts) {
  std::unordered_set<uint32_t> seen;
  size_t hits = 0, blocks = 0;
  for (const std::vector<uint32_t>& prompt : prompts.requests) {
    size_t found = 0;
    while (found < prompt.size() && seen.contains(prompt[found])) ++found;
    seen.insert(prompt.begin(), prompt.end());
    hits += found;
    blocks += prompt.size();
  }
  return blocks == 0 ? 0 : static_cast<double>(hits) / static_cast<double>(blocks);
}

std::vector<std::vector<uint32_t>> NextUses(const Prompts& prompts) {
  std::vector<std::vector<uint32_t>> next(prompts.requests.size());
  std::unordered_map<uint32_t, uint32_t> seen;
  for (size_t i = prompts.requests.size(); i > 0; --i) {
    const std::vector<uint32_t>& prompt = prompts.requests[i - 1];
    for (const uint32_t id : prompt) {
      const auto at = seen.find(id);
      next[i - 1].push_back(at == seen.end() ? UINT32_MAX : at->second);
    }
    for (const uint32_t id : prompt) seen[id] = static_cast<uint32_t>(i - 1);
  }
  return next;
}

Prompts Split(const Prompts& prompts, uint32_t parts) {
  Prompts split;
  for (const std::vector<uint32_t>& prompt : prompts.requests) {
    std::vector<uint32_t>& to = split.requests.emplace_back();
    for (const uint32_t id : prompt) {
      for (uint32_t part = 0; part < parts; ++part) to.push_back(id * parts + part);
    }
  }
  return split;
}

}  // namespace kvstore::eviction_sim
