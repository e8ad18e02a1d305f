// Which of many servers a call goes to: the pure part, with no gRPC and no clock of its own.
//
// Homes: rendezvous hashing (Thaler and Ravishankar, "Using name-based mappings to increase hit
// rates", IEEE/ACM Transactions on Networking 1998). Each server's weight for a key is a 64-bit mix
// of its name's hash and the key, and the servers in order of weight are the key's homes: the same
// for every client that writes the servers' names alike, whatever the order of its list. A server
// that is added or removed moves only the keys that it wins or held.
//
// Load: a home that has more than `bound` times the mean on the way, and `slack` besides, is passed
// over for the next in that order (Mirrokni, Thorup and Zadimoghaddam, "Consistent hashing with
// bounded loads", 2016). The load is what this client has on the way: it needs no word from others.
//
// Health: failures, silence and latency far beyond the others' eject a server: keys go to their
// next homes until a probe takes it back.
#ifndef KVCLIENT_SRC_ROUTING_H_
#define KVCLIENT_SRC_ROUTING_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace kvstore::client {

// What homes are found by.
using RouteKey = uint64_t;

// The key of a partition by its digest: the first eight bytes, little-endian, since digests are
// uniform already. REQUIRES: at least 8 bytes.
RouteKey RouteKeyOf(std::span<const uint8_t> digest);

// The key of a chunk by the digest that it is found by, the prefix digest if it has one. Its
// partition is part of it, or the prompt that all models are given would have one home for all.
inline RouteKey ChunkKeyOf(RouteKey partition, std::span<const uint8_t> digest) {
  return partition ^ RouteKeyOf(digest);
}

struct LocationKeys {
  RouteKey partition = 0;
  RouteKey chunk = 0;
};

// The keys of the block at a location that Lookup gave: base64url of the partition's digest (16
// bytes), the block's (32), and more (KVService/block/location.h). They serve routing alone, so a
// text of another form costs balance and nothing else: both keys are then its hash.
LocationKeys KeysOf(std::string_view location);

struct RouterOptions {
  // Of bounded load. `slack` is in the units of load, and keeps light load at home.
  double bound = 1.25;
  int64_t slack = 8 << 20;

  // Consecutive failures that eject a server.
  int failures = 1;
  // The first ejection lasts this long, and each that follows within `probation` of the last one's
  // end twice as long, up to the longest. A probe that fails adds probe_again.
  std::chrono::nanoseconds first_ejection = std::chrono::seconds(1);
  std::chrono::nanoseconds longest_ejection = std::chrono::seconds(30);
  std::chrono::nanoseconds probation = std::chrono::seconds(30);
  std::chrono::nanoseconds probe_again = std::chrono::milliseconds(500);

  // A server is slow whose moving latency is beyond both the floor and slow_factor x the median of
  // the others that are up. At most half of the servers are ejected for it.
  double slow_factor = 5;
  std::chrono::nanoseconds slow_floor = std::chrono::milliseconds(200);
  int slow_samples = 20;  // since it was taken back, before which it is not judged

  // A chunk that this client has read this often is read from two homes, or from as many more as
  // bring each of them no more than `hot_share` of a server's even share of all reads. Counts are
  // halved every window.
  uint32_t hot_reads = 32;
  double hot_share = 0.1;
  size_t most_homes = 64;
  std::chrono::nanoseconds hot_window = std::chrono::seconds(1);
};

// Counts reads a key, in a table of fixed size; what is read seldom makes room for what is read
// often. Thread-safe, without locks: counts are near enough, not exact.
class DemandTable {
 public:
  // Counts one read of `key` in the window numbered `window`. The reads of late, this one included.
  uint32_t Count(RouteKey key, uint32_t window);
  // Of all keys.
  uint64_t total(uint32_t window) const;

 private:
  static constexpr size_t kSets = 1024, kWays = 4;  // 32 KiB
  // The key's upper half, 32 bits | window, 16 | count, 16.
  std::unique_ptr<std::atomic<uint64_t>[]> slots_ =
      std::make_unique<std::atomic<uint64_t>[]>(kSets * kWays);
  std::atomic<uint64_t> total_{0};  // window, 16 | count, 48
};

// Thread-safe. Times are since any fixed instant, and given by the caller.
class Router {
 public:
  using Time = std::chrono::nanoseconds;
  enum class Kind {
    kPartition,  // to the key's home if it is up, however loaded: only it has the partition
    kChunk,      // to the key's home, within its bound
    kChunkRead,  // likewise, and where the key is in great demand in turns to several homes
    kAny,        // to the one of two, chosen at random, that has less on the way
  };
  struct Route {
    Kind kind = Kind::kAny;
    RouteKey key = 0;
  };
  struct Choice {
    size_t server = 0;
    bool overflowed = false;    // its home has too much on the way
    bool further_home = false;  // the key is hot, and it was another's turn than the first's
    bool up = true;             // false: none that was left to choose from is
  };

  enum class Outcome {
    kAnswered,  // and `latency` counts, unless 0
    kFailed,    // unavailable: the connection is lost, or it says so itself
    kSilent,    // did not answer in time: ejected at once
  };
  enum class Change { kNone, kEjected, kEjectedSlow, kBack };

  // REQUIRES: at least one name, at most kMostServers. A name's index is the server's number.
  static constexpr size_t kMostServers = 65'535;
  explicit Router(std::vector<std::string> names, RouterOptions options = {});

  // The server for a call that puts `load` on the way. Servers in `tried` are passed over, unless
  // that leaves none. Where none of the rest is up, homes count as if all were.
  Choice Pick(const Route& route, int64_t load, Time now, std::span<const size_t> tried = {});

  // The n-th home of a key (0 is the first), whatever is up. REQUIRES: n < size().
  size_t Home(RouteKey key, size_t n = 0) const;

  // What is on the way; each Start has its End.
  void Start(size_t server, int64_t load) {
    servers_[server].load.fetch_add(load, std::memory_order_relaxed);
  }
  void End(size_t server, int64_t load) {
    servers_[server].load.fetch_sub(load, std::memory_order_relaxed);
  }

  // What an attempt met, and what that changed. An answer of an ejected server changes nothing:
  // it may have been on the way for long. Probes take it back.
  Change Report(size_t server, Outcome outcome, Time latency, Time now);

  // An ejected server whose time is over, if there is one: the caller probes it and says what came
  // of it, and nobody else is given it meanwhile.
  std::optional<size_t> NextProbe(Time now);
  Change Probed(size_t server, bool answered, Time now);

  bool up(size_t server) const { return servers_[server].up.load(std::memory_order_relaxed); }
  size_t servers_up() const { return up_.load(std::memory_order_relaxed); }
  int64_t load(size_t server) const {
    return servers_[server].load.load(std::memory_order_relaxed);
  }
  Time latency(size_t server) const {
    return Time(servers_[server].latency.load(std::memory_order_relaxed));
  }
  const std::string& name(size_t server) const { return names_[server]; }
  size_t size() const { return names_.size(); }

 private:
  struct Server {
    uint64_t name_hash = 0;
    std::atomic<int64_t> load{0};
    std::atomic<bool> up{true};
    std::atomic<int> failures{0};     // in a row
    std::atomic<int64_t> latency{0};  // moving mean, ns
    std::atomic<int> samples{0};      // of it
  };
  struct Ejection {
    Time until{0};
    Time back_at{0};
    Time lasted{0};
    bool probing = false;
    bool slow = false;
  };

  uint64_t Weight(size_t server, RouteKey key) const;
  // The first home behind `behind` in the key's order that is usable; size() without one.
  struct Usable;
  size_t Next(RouteKey key, const Usable& usable, std::optional<size_t> behind) const;
  // Counts a read; the home that it is the turn of, and how many a key in great demand has.
  size_t HomeInTurn(RouteKey key, size_t first, const Usable& usable, Time now);
  size_t HomesOf(uint32_t reads, uint32_t window) const;
  Choice PickBounded(RouteKey key, int64_t load, const Usable& usable, size_t first) const;
  size_t PickLessLoaded(const Usable& usable);
  bool IsSlow(size_t server) const;
  Change Eject(size_t server, bool slow, Time now);

  const std::vector<std::string> names_;
  const RouterOptions options_;
  std::vector<Server> servers_;
  std::atomic<size_t> up_;
  std::atomic<uint64_t> turn_{0};
  DemandTable demand_;

  absl::Mutex mutex_;  // of changes; `up` is written under it
  std::vector<Ejection> ejections_ ABSL_GUARDED_BY(mutex_);
  std::atomic<size_t> ejected_{0};  // so that NextProbe is cheap without any
};

}  // namespace kvstore::client

#endif  // KVCLIENT_SRC_ROUTING_H_
