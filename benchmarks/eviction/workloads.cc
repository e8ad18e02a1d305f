#include "benchmarks/eviction/workloads.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <queue>
#include <random>
#include <utility>

namespace kvstore::eviction_sim {
namespace {

// Distributions of our own: those of the standard library differ between libraries.
class Maker {
 public:
  explicit Maker(uint32_t seed) : random_(seed) {}

  uint32_t Below(uint32_t n) { return static_cast<uint32_t>(random_() % n); }
  double Unit() { return (static_cast<double>(random_()) + 0.5) / 4294967296.0; }
  double Exponential(double mean) { return -mean * std::log(Unit()); }

  // From 0 on, number k with a weight of (k + 1)^-power.
  uint32_t Zipf(uint32_t n, double power) {
    std::vector<double>& sums = sums_[{n, power}];
    if (sums.empty()) {
      double sum = 0;
      for (uint32_t k = 0; k < n; ++k) sums.push_back(sum += std::pow(k + 1, -power));
    }
    const double at = Unit() * sums.back();
    return static_cast<uint32_t>(std::lower_bound(sums.begin(), sums.end(), at) - sums.begin());
  }

  std::vector<uint32_t> NewBlocks(uint32_t count) {
    std::vector<uint32_t> blocks;
    for (uint32_t i = 0; i < count; ++i) blocks.push_back(next_id_++);
    return blocks;
  }

 private:
  std::mt19937 random_;
  uint32_t next_id_ = 0;
  std::map<std::pair<uint32_t, double>, std::vector<double>> sums_;
};

void Append(std::vector<uint32_t>& to, const std::vector<uint32_t>& more) {
  to.insert(to.end(), more.begin(), more.end());
}

std::vector<std::vector<uint32_t>> SystemPrompts(Maker& maker, uint32_t count, uint32_t longest) {
  std::vector<std::vector<uint32_t>> prompts;
  for (uint32_t i = 0; i < count; ++i) {
    prompts.push_back(maker.NewBlocks(1 + maker.Below(longest)));
  }
  return prompts;
}

// Independent prompts, asked for as `next` says.
Prompts Independent(Maker& maker, uint32_t prompts, uint32_t requests,
                    const std::function<uint32_t(uint32_t)>& next) {
  std::vector<std::vector<uint32_t>> all;
  for (uint32_t i = 0; i < prompts; ++i) all.push_back(maker.NewBlocks(1 + maker.Below(9)));
  Prompts result;
  for (uint32_t i = 0; i < requests; ++i) result.requests.push_back(all[next(i)]);
  return result;
}

struct Talk {
  double more = 0.5;      // the chance of another turn
  double pause = 300;     // in requests, on average
  uint32_t opening = 10;  // blocks of the first turn, on average; half of it for later ones
};

// Conversations behind a few system prompts. `talk` says how they go at a time from 0 to 1.
Prompts Conversations(Maker& maker, uint32_t requests, uint32_t systems, uint32_t system_blocks,
                      const std::function<Talk(double)>& talk) {
  const auto system_prompts = SystemPrompts(maker, systems, system_blocks);
  using Turn = std::pair<double, std::vector<uint32_t>>;  // when, and what was said
  std::priority_queue<Turn, std::vector<Turn>, std::greater<>> later;
  Prompts result;
  for (uint32_t i = 0; i < requests; ++i) {
    const Talk now = talk(static_cast<double>(i) / requests);
    std::vector<uint32_t> prompt;
    if (!later.empty() && later.top().first <= i) {
      prompt = later.top().second;
      later.pop();
      Append(prompt, maker.NewBlocks(1 + maker.Below(now.opening)));
    } else {
      prompt = system_prompts[maker.Zipf(systems, 1)];
      Append(prompt, maker.NewBlocks(1 + maker.Below(2 * now.opening)));
    }
    if (maker.Unit() < now.more && prompt.size() < 400) {
      later.push({i + 1 + maker.Exponential(now.pause), prompt});
    }
    result.requests.push_back(std::move(prompt));
  }
  return result;
}

const std::map<std::string, std::function<Prompts(Maker&)>>& Makers() {
  static const std::map<std::string, std::function<Prompts(Maker&)>> makers = {
      {"uniform",
       [](Maker& m) {
         return Independent(m, 4000, 40'000, [&m](uint32_t) { return m.Below(4000); });
       }},
      {"zipf",
       [](Maker& m) {
         return Independent(m, 20'000, 40'000, [&m](uint32_t) { return m.Zipf(20'000, 0.9); });
       }},
      {"loop",
       [](Maker& m) { return Independent(m, 1200, 30'000, [](uint32_t i) { return i % 1200; }); }},
      // Popularity drifts: what was asked for lately is asked for again, with less and less chance.
      {"recency",
       [](Maker& m) {
         return Independent(m, 40'000, 40'000, [&m](uint32_t i) {
           const double back = m.Unit() < 0.6 ? std::exp(m.Unit() * 8) : 0;
           return back < i ? i - static_cast<uint32_t>(back) : i;
         });
       }},
      {"scan",
       [](Maker& m) {
         return Conversations(m, 20'000, 20, 8, [](double) { return Talk{.more = 0}; });
       }},
      {"chat",
       [](Maker& m) { return Conversations(m, 20'000, 10, 6, [](double) { return Talk(); }); }},
      // Tools answer at once: many quick turns, then never again.
      {"agents",
       [](Maker& m) {
         return Conversations(m, 20'000, 8, 12,
                              [](double) { return Talk{.more = 0.9, .pause = 12, .opening = 4}; });
       }},
      {"change",
       [](Maker& m) {
         return Conversations(m, 30'000, 10, 6, [](double time) {
           return time < 0.5 ? Talk{.more = 0.7, .pause = 500}
                             : Talk{.more = 0.8, .pause = 20, .opening = 5};
         });
       }},
      {"change-back",
       [](Maker& m) {
         return Conversations(m, 30'000, 10, 6, [](double time) {
           return time < 0.5 ? Talk{.more = 0.8, .pause = 20, .opening = 5}
                             : Talk{.more = 0.6, .pause = 400};
         });
       }},
      // Two thirds never come back, the others surely.
      {"mixed",
       [](Maker& m) {
         return Conversations(m, 30'000, 10, 6, [&m](double) {
           return m.Below(3) == 0 ? Talk{.more = 0.9, .pause = 200, .opening = 4}
                                  : Talk{.more = 0, .opening = 20};
         });
       }},
  };
  return makers;
}

}  // namespace

std::vector<std::string> WorkloadNames() {
  std::vector<std::string> names;
  for (const auto& [name, make] : Makers()) names.push_back(name);
  return names;
}

std::optional<Workload> MakeWorkload(const std::string& name) {
  const auto make = Makers().find(name);
  if (make == Makers().end()) return std::nullopt;
  Maker maker(1);
  return Workload{.prompts = make->second(maker), .capacities = {500, 1000, 2000, 5000, 10'000}};
}

Prompts Reversed(const Prompts& prompts) {
  return {.requests = {prompts.requests.rbegin(), prompts.requests.rend()}};
}

Prompts ThirdOfSessions(const Prompts& prompts) {
  Prompts kept;
  for (const std::vector<uint32_t>& prompt : prompts.requests) {
    // The first block may be everybody's; the second is that of a conversation, or nearly.
    const uint32_t session = prompt.size() > 1 ? prompt[1] : prompt[0];
    if ((session * 2654435761u >> 16) % 3 == 0) kept.requests.push_back(prompt);
  }
  return kept;
}

}  // namespace kvstore::eviction_sim
