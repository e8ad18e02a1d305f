#include "benchmarks/cluster_sim/simulate.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <memory>
#include <random>

#include "KVClient/src/routing.h"
#include "benchmarks/cluster_sim/lru_fleet.h"

namespace kvstore::cluster_sim {
namespace {

using client::RouteKey;
using client::Router;

constexpr int64_t kBlockBytes = 1'258'291;
constexpr size_t kSystemPrompts = 200;
constexpr size_t kSystemBlocks = 12;  // of each
constexpr size_t kTurnBlocks = 6;     // that a conversation grows by each turn
constexpr size_t kMostTurns = 12;
constexpr Router::Time kRequestTime = std::chrono::microseconds(50);  // between two

// SplitMix64, so that a block's key is spread as a digest is.
RouteKey KeyOf(uint32_t block) {
  uint64_t x = block + 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

std::vector<std::string> Names(size_t servers) {
  std::vector<std::string> names;
  for (size_t i = 0; i < servers; ++i) names.push_back("kv-" + std::to_string(i) + ":50051");
  return names;
}

// Prompts as chats have them: a system prompt that many share, few of them most often; then the
// conversation so far, which goes on or begins anew.
class Prompts {
 public:
  explicit Prompts(const FleetOptions& options)
      : random_(options.seed),
        conversations_((options.blocks - kSystemPrompts * kSystemBlocks) /
                       (kTurnBlocks * kMostTurns)) {
    double sum = 0;
    for (size_t i = 0; i < kSystemPrompts; ++i) sums_.push_back(sum += 1.0 / (i + 1.0));
  }

  // The blocks of the next request's prompt.
  void Next(std::vector<uint32_t>* blocks) {
    // Most are turns of conversations of late; the others are of any, with all that they had.
    uint32_t conversation;
    if (!recent_.empty() && Unit() < 0.8) {
      conversation = recent_[random_() % recent_.size()];
    } else {
      conversation = static_cast<uint32_t>(random_() % conversations_);
      recent_.push_back(conversation);
      if (recent_.size() > conversations_ / 10 + 1) recent_.pop_front();
    }
    const size_t turns = 1 + random_() % kMostTurns;
    blocks->clear();
    // Which system prompt a conversation has stays the same.
    const double at = (KeyOf(conversation) >> 11) * 0x1p-53 * sums_.back();
    const auto system =
        static_cast<uint32_t>(std::lower_bound(sums_.begin(), sums_.end(), at) - sums_.begin());
    for (uint32_t i = 0; i < kSystemBlocks; ++i) blocks->push_back(system * kSystemBlocks + i);
    const auto first = static_cast<uint32_t>(kSystemPrompts * kSystemBlocks +
                                             size_t{conversation} * kTurnBlocks * kMostTurns);
    for (uint32_t i = 0; i < turns * kTurnBlocks; ++i) blocks->push_back(first + i);
  }

 private:
  double Unit() { return static_cast<double>(random_() >> 11) * 0x1p-53; }

  std::mt19937_64 random_;
  const size_t conversations_;
  std::vector<double> sums_;
  std::deque<uint32_t> recent_;
};

class Fleet {
 public:
  explicit Fleet(const FleetOptions& options)
      : options_(options),
        caches_(options.servers, CachedBlocks() / options.servers),
        one_(1, CachedBlocks()),
        prompts_(options),
        random_(options.seed + 1),
        up_(options.servers, true) {
    for (size_t i = 0; i < options.clients; ++i) {
      routers_.push_back(std::make_unique<Router>(Names(options.servers)));
    }
  }

  // Those servers die, and what they held with them. The one cache stays whole: what it has more
  // is the loss.
  void Lose(size_t servers) {
    for (size_t lost = 0; lost < servers;) {
      const auto server = static_cast<uint32_t>(random_() % options_.servers);
      if (!up_[server]) continue;
      up_[server] = false;
      caches_.Clear(server);
      for (const auto& router : routers_) {
        router->Report(server, Router::Outcome::kSilent, Router::Time(0), now_);
      }
      ++lost;
    }
  }

  Phase Run(std::string name) {
    Phase phase{.name = std::move(name)};
    std::vector<uint64_t> reads(options_.servers);
    uint64_t hits = 0, one_hits = 0, overflowed = 0, second = 0;
    std::vector<uint32_t> blocks;
    for (size_t i = 0; i < options_.requests; ++i) {
      now_ += kRequestTime;
      if (running_.size() == options_.in_flight) EndOldest();
      prompts_.Next(&blocks);
      Running& running = running_.emplace_back();
      running.router = routers_[random_() % routers_.size()].get();
      for (const uint32_t block : blocks) {
        const Router::Choice choice =
            running.router->Pick({Router::Kind::kChunkRead, KeyOf(block)}, kBlockBytes, now_);
        running.router->Start(choice.server, kBlockBytes);
        running.servers.push_back(static_cast<uint32_t>(choice.server));
        ++reads[choice.server];
        hits += caches_.Read(static_cast<uint32_t>(choice.server), block);
        one_hits += one_.Read(0, block);
        overflowed += choice.overflowed;
        second += choice.further_home;
        ++phase.reads;
      }
    }
    std::vector<uint64_t> of_up;
    for (size_t i = 0; i < reads.size(); ++i) {
      if (up_[i]) of_up.push_back(reads[i]);
    }
    std::sort(of_up.begin(), of_up.end());
    const double all = static_cast<double>(phase.reads);
    const double mean = all / static_cast<double>(of_up.size());
    phase.servers_up = of_up.size();
    phase.hit_ratio = static_cast<double>(hits) / all;
    phase.one_cache = static_cast<double>(one_hits) / all;
    phase.max_to_mean = static_cast<double>(of_up.back()) / mean;
    phase.p99_to_mean = static_cast<double>(of_up[of_up.size() * 99 / 100]) / mean;
    phase.overflowed = static_cast<double>(overflowed) / all;
    phase.further_home = static_cast<double>(second) / all;
    return phase;
  }

 private:
  struct Running {
    Router* router = nullptr;
    std::vector<uint32_t> servers;
  };

  size_t CachedBlocks() const {
    return static_cast<size_t>(static_cast<double>(options_.blocks) * options_.cached);
  }

  void EndOldest() {
    const Running& oldest = running_.front();
    for (const uint32_t server : oldest.servers) oldest.router->End(server, kBlockBytes);
    running_.pop_front();
  }

  const FleetOptions options_;
  LruFleet caches_, one_;
  Prompts prompts_;
  std::mt19937_64 random_;
  std::vector<bool> up_;
  std::vector<std::unique_ptr<Router>> routers_;
  std::deque<Running> running_;
  Router::Time now_ = std::chrono::seconds(1);
};

}  // namespace

Placement Place(const FleetOptions& options) {
  const std::vector<std::string> names = Names(options.servers);
  const size_t lost_1 = std::max<size_t>(1, options.servers / 100);
  const size_t lost_10 = std::max<size_t>(1, options.servers / 10);
  // Without the last ones: rendezvous hashing has no order of servers.
  const Router whole(names);
  const Router without_1({names.begin(), names.end() - static_cast<int64_t>(lost_1)});
  const Router without_10({names.begin(), names.end() - static_cast<int64_t>(lost_10)});
  std::vector<uint64_t> at_home(options.servers);
  Placement placement;
  for (size_t block = 0; block < options.blocks; ++block) {
    const RouteKey key = KeyOf(static_cast<uint32_t>(block));
    const size_t home = whole.Home(key);
    ++at_home[home];
    placement.moved_1 += without_1.Home(key) != home;
    placement.moved_10 += without_10.Home(key) != home;
  }
  const auto all = static_cast<double>(options.blocks);
  const auto share = [&](size_t lost) {
    uint64_t blocks = 0;
    for (size_t i = options.servers - lost; i < options.servers; ++i) blocks += at_home[i];
    return static_cast<double>(blocks) / all;
  };
  placement.moved_1 /= all;
  placement.moved_10 /= all;
  placement.least_1 = share(lost_1);
  placement.least_10 = share(lost_10);
  placement.max_to_mean = static_cast<double>(*std::max_element(at_home.begin(), at_home.end())) *
                          static_cast<double>(options.servers) / all;
  return placement;
}

std::vector<Phase> Simulate(const FleetOptions& options) {
  Fleet fleet(options);
  std::vector<Phase> phases;
  phases.push_back(fleet.Run("cold"));
  fleet.Run("");
  phases.push_back(fleet.Run("warm"));
  fleet.Lose(std::max<size_t>(1, options.servers / 100));
  phases.push_back(fleet.Run("1 % lost, at once"));
  phases.push_back(fleet.Run("1 % lost, later"));
  fleet.Lose(std::max<size_t>(1, options.servers / 10));
  phases.push_back(fleet.Run("10 % more lost, at once"));
  phases.push_back(fleet.Run("10 % more lost, later"));
  return phases;
}

}  // namespace kvstore::cluster_sim
