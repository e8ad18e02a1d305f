#include "KVClient/src/routing.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace kvstore::client {
namespace {

// The moving latency takes this share of each new one.
constexpr int64_t kLatencyShare = 8;

constexpr size_t kLocationChars = 96;

// Of splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
uint64_t Mix(uint64_t x) {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9;
  x ^= x >> 27;
  x *= 0x94d049bb133111eb;
  return x ^ x >> 31;
}

// FNV-1a, mixed. All clients must agree on it for ever.
uint64_t HashText(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return Mix(hash);
}

constexpr std::array<int8_t, 256> kDigits = [] {
  constexpr std::string_view kText =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::array<int8_t, 256> digits{};
  digits.fill(-1);
  for (size_t i = 0; i < kText.size(); ++i) {
    digits[static_cast<unsigned char>(kText[i])] = static_cast<int8_t>(i);
  }
  return digits;
}();

// The bytes that 4 / 3 x as many digits stand for; false where one is none.
bool FromBase64Url(std::string_view text, std::span<uint8_t> bytes) {
  for (size_t i = 0; i < bytes.size() / 3; ++i) {
    int32_t four = 0;
    bool bad = false;
    for (size_t k = 0; k < 4; ++k) {
      const int8_t digit = kDigits[static_cast<unsigned char>(text[4 * i + k])];
      bad |= digit < 0;
      four = four << 6 | (digit & 63);
    }
    if (bad) return false;
    for (size_t k = 0; k < 3; ++k) bytes[3 * i + k] = static_cast<uint8_t>(four >> (16 - 8 * k));
  }
  return true;
}

bool Contains(std::span<const size_t> servers, size_t server) {
  return std::find(servers.begin(), servers.end(), server) != servers.end();
}

// Of a key in great demand, those that come in the key's own order.
constexpr size_t kOrderedHomes = 4;

}  // namespace

RouteKey RouteKeyOf(std::span<const uint8_t> digest) {
  RouteKey key = 0;
  for (size_t i = 0; i < sizeof(key); ++i) key |= RouteKey{digest[i]} << (8 * i);
  return key;
}

LocationKeys KeysOf(std::string_view location) {
  std::array<uint8_t, 24> head;  // the partition's digest and eight bytes of the block's
  if (location.size() == kLocationChars && FromBase64Url(location, head)) {
    const RouteKey partition = RouteKeyOf(std::span(head).first(16));
    return {partition, ChunkKeyOf(partition, std::span(head).subspan(16))};
  }
  const RouteKey hash = HashText(location);
  return {hash, hash};
}

uint32_t DemandTable::Count(RouteKey key, uint32_t window) {
  total_.store(uint64_t{window & 0xffff} << 48 | (total(window) + 1), std::memory_order_relaxed);
  const uint64_t mixed = Mix(key);
  const uint64_t tag = mixed >> 32;
  std::atomic<uint64_t>* const set = &slots_[mixed % kSets * kWays];
  const auto count_of = [window](uint64_t slot) {
    const uint32_t age = (window - static_cast<uint32_t>(slot >> 16)) & 0xffff;
    return age > 15 ? 0u : static_cast<uint32_t>(slot & 0xffff) >> age;
  };
  std::atomic<uint64_t>* least = nullptr;
  uint32_t fewest = UINT32_MAX;
  const auto pack = [&](uint32_t count) {
    return tag << 32 | uint64_t{window & 0xffff} << 16 | std::min(count, 0xffffu);
  };
  for (size_t i = 0; i < kWays; ++i) {
    const uint64_t slot = set[i].load(std::memory_order_relaxed);
    const uint32_t count = count_of(slot);
    if (slot >> 32 == tag) {
      set[i].store(pack(count + 1), std::memory_order_relaxed);
      return count + 1;
    }
    if (count < fewest) {
      fewest = count;
      least = &set[i];
    }
  }
  // A newcomer wears the least one down before it takes its place (Misra and Gries, "Finding
  // repeated elements", 1982), so that a scan of cold keys drives no hot one out.
  uint64_t slot = least->load(std::memory_order_relaxed);
  if (fewest > 1) {
    least->compare_exchange_strong(
        slot, (slot >> 32) << 32 | uint64_t{window & 0xffff} << 16 | (fewest - 1),
        std::memory_order_relaxed);
  } else {
    least->compare_exchange_strong(slot, pack(1), std::memory_order_relaxed);
  }
  return 1;
}

uint64_t DemandTable::total(uint32_t window) const {
  const uint64_t packed = total_.load(std::memory_order_relaxed);
  const uint32_t age = (window - static_cast<uint32_t>(packed >> 48)) & 0xffff;
  return age > 47 ? 0 : (packed & ((uint64_t{1} << 48) - 1)) >> age;
}

// What a call may go to: what is up and not tried; or, where that is nothing, less strictly.
struct Router::Usable {
  const std::vector<Server>& servers;
  std::span<const size_t> tried;
  bool only_up = true;

  // Asks for less, in two steps: then any server will do.
  void Relax() {
    if (!only_up) tried = {};
    only_up = false;
  }
  bool operator()(size_t server) const {
    return (!only_up || servers[server].up.load(std::memory_order_relaxed)) &&
           (tried.empty() || !Contains(tried, server));
  }
  bool Any() const {
    for (size_t i = 0; i < servers.size(); ++i) {
      if ((*this)(i)) return true;
    }
    return false;
  }
};

Router::Router(std::vector<std::string> names, RouterOptions options)
    : names_(std::move(names)),
      options_(options),
      servers_(names_.size()),
      up_(names_.size()),
      ejections_(names_.size()) {
  for (size_t i = 0; i < names_.size(); ++i) servers_[i].name_hash = HashText(names_[i]);
}

uint64_t Router::Weight(size_t server, RouteKey mixed) const {
  return Mix(servers_[server].name_hash ^ mixed);
}

size_t Router::Next(RouteKey key, const Usable& usable, std::optional<size_t> behind) const {
  const RouteKey mixed = Mix(key);
  const uint64_t below = behind ? Weight(*behind, mixed) : 0;
  size_t best = size();
  uint64_t most = 0;
  for (size_t i = 0; i < size(); ++i) {
    const uint64_t weight = Weight(i, mixed);
    // Equal weights (a name given twice) stand in the list's order.
    if (behind && (weight > below || (weight == below && i <= *behind))) continue;
    if ((best == size() || weight > most) && usable(i)) {
      best = i;
      most = weight;
    }
  }
  return best;
}

size_t Router::Home(RouteKey key, size_t n) const {
  const Usable all{servers_, {}, false};
  size_t home = Next(key, all, std::nullopt);
  while (n-- > 0) home = Next(key, all, home);
  return home;
}

Router::Choice Router::Pick(const Route& route, int64_t load, Time now,
                            std::span<const size_t> tried) {
  if (size() == 1) return {.server = 0, .up = up(0)};
  Usable usable{servers_, tried};
  if (route.kind == Kind::kAny) {
    for (int step = 0; step < 2 && !usable.Any(); ++step) usable.Relax();
    return {.server = PickLessLoaded(usable), .up = usable.only_up};
  }
  // Servers go down meanwhile: what was usable a moment ago need not be now.
  size_t first;
  while ((first = Next(route.key, usable, std::nullopt)) == size()) usable.Relax();
  if (route.kind == Kind::kPartition) return {.server = first, .up = usable.only_up};
  const bool may_turn = route.kind == Kind::kChunkRead && tried.empty();
  const size_t wanted = may_turn ? HomeInTurn(route.key, first, usable, now) : first;
  Choice choice = PickBounded(route.key, load, usable, wanted);
  choice.further_home = wanted != first && !choice.overflowed;
  choice.up = usable.only_up;
  return choice;
}

size_t Router::HomeInTurn(RouteKey key, size_t first, const Usable& usable, Time now) {
  const auto window = static_cast<uint32_t>(now / options_.hot_window);
  const uint32_t reads = demand_.Count(key, window);
  if (reads < options_.hot_reads) return first;
  const size_t turn = reads % HomesOf(reads, window);
  size_t home = first;
  if (turn < kOrderedHomes) {
    for (size_t i = 0; i < turn && home != size(); ++i) home = Next(key, usable, home);
  } else {
    // The homes of other keys, so that each takes one look at the servers and not as many as there
    // are before it.
    home = Next(Mix(key + turn), usable, std::nullopt);
  }
  return home == size() ? first : home;
}

size_t Router::HomesOf(uint32_t reads, uint32_t window) const {
  // Of all reads, in even shares of a server.
  const double shares = static_cast<double>(reads) * static_cast<double>(servers_up()) /
                        static_cast<double>(std::max<uint64_t>(demand_.total(window), 1));
  const auto homes = static_cast<size_t>(std::ceil(shares / options_.hot_share));
  return std::clamp<size_t>(homes, 2, std::max<size_t>(2, std::min(options_.most_homes, size())));
}

Router::Choice Router::PickBounded(RouteKey key, int64_t load, const Usable& usable,
                                   size_t first) const {
  int64_t total = load;
  int64_t servers = 0;
  for (size_t i = 0; i < size(); ++i) {
    if (!usable(i)) continue;
    total += this->load(i);
    ++servers;
  }
  // A server may become unusable meanwhile: never divide by 0.
  const double mean =
      static_cast<double>(total) / static_cast<double>(std::max<int64_t>(servers, 1));
  const auto most = static_cast<int64_t>(options_.bound * mean) + options_.slack;
  const auto fits = [&](size_t server) { return this->load(server) + load <= most; };
  if (fits(first)) return {.server = first};
  // In order of weight, from the first home on: `first` may be the second of a hot key.
  for (size_t at = Next(key, usable, std::nullopt); at != size(); at = Next(key, usable, at)) {
    if (at != first && fits(at)) return {.server = at, .overflowed = true};
  }
  return {.server = first};  // one call alone is beyond the bound
}

size_t Router::PickLessLoaded(const Usable& usable) {
  const auto draw = [&] {
    size_t server = 0;
    for (int tries = 0; tries < 8; ++tries) {
      // A counter, mixed, is random enough, and costs no thread its own generator.
      const uint64_t random =
          Mix(0x9e3779b97f4a7c15 * turn_.fetch_add(1, std::memory_order_relaxed));
      server = static_cast<size_t>((random >> 32) * size() >> 32);
      if (usable(server)) return server;
    }
    for (size_t i = 0; i < size(); ++i) {
      if (usable((server + i) % size())) return (server + i) % size();
    }
    return server;
  };
  const size_t one = draw();
  size_t other = draw();
  for (int tries = 0; other == one && tries < 4; ++tries) other = draw();
  return load(other) < load(one) ? other : one;
}

Router::Change Router::Report(size_t server, Outcome outcome, Time latency, Time now) {
  Server& its = servers_[server];
  if (outcome == Outcome::kSilent) return Eject(server, false, now);
  if (outcome == Outcome::kFailed) {
    const int failures = its.failures.fetch_add(1, std::memory_order_relaxed) + 1;
    return failures >= options_.failures ? Eject(server, false, now) : Change::kNone;
  }
  if (its.failures.load(std::memory_order_relaxed) != 0) {
    its.failures.store(0, std::memory_order_relaxed);
  }
  if (latency.count() <= 0) return Change::kNone;
  // Two that meet here may lose one of their samples, which is no matter.
  const int samples = its.samples.load(std::memory_order_relaxed);
  const int64_t before = its.latency.load(std::memory_order_relaxed);
  its.latency.store(
      samples == 0 ? latency.count() : before + (latency.count() - before) / kLatencyShare,
      std::memory_order_relaxed);
  if (samples < options_.slow_samples) {
    its.samples.store(samples + 1, std::memory_order_relaxed);
    return Change::kNone;
  }
  return IsSlow(server) ? Eject(server, true, now) : Change::kNone;
}

bool Router::IsSlow(size_t server) const {
  const Time its = latency(server);
  if (its <= options_.slow_floor || !up(server)) return false;
  std::vector<Time> others;
  for (size_t i = 0; i < size(); ++i) {
    if (i != server && up(i) && latency(i).count() > 0) others.push_back(latency(i));
  }
  if (others.empty()) return false;
  const auto middle = others.begin() + static_cast<ptrdiff_t>(others.size() / 2);
  std::nth_element(others.begin(), middle, others.end());
  return static_cast<double>(its.count()) >
         options_.slow_factor * static_cast<double>(middle->count());
}

Router::Change Router::Eject(size_t server, bool slow, Time now) {
  absl::MutexLock lock(&mutex_);
  Server& its = servers_[server];
  if (!up(server)) return Change::kNone;  // calls that were on the way tell nothing new
  if (slow) {
    const auto slow_ones = static_cast<size_t>(std::count_if(
        ejections_.begin(), ejections_.end(), [](const Ejection& other) { return other.slow; }));
    if ((slow_ones + 1) * 2 > size() || servers_up() < 2) return Change::kNone;
  }
  Ejection& ejection = ejections_[server];
  const bool again = ejection.lasted.count() > 0 && now - ejection.back_at < options_.probation;
  ejection.lasted =
      again ? std::min(2 * ejection.lasted, options_.longest_ejection) : options_.first_ejection;
  ejection.until = now + ejection.lasted;
  ejection.probing = false;
  ejection.slow = slow;
  its.up.store(false, std::memory_order_relaxed);
  up_.fetch_sub(1, std::memory_order_relaxed);
  ejected_.fetch_add(1, std::memory_order_relaxed);
  return slow ? Change::kEjectedSlow : Change::kEjected;
}

std::optional<size_t> Router::NextProbe(Time now) {
  if (ejected_.load(std::memory_order_relaxed) == 0) return std::nullopt;
  absl::MutexLock lock(&mutex_);
  for (size_t i = 0; i < size(); ++i) {
    Ejection& ejection = ejections_[i];
    if (!up(i) && !ejection.probing && ejection.until <= now) {
      ejection.probing = true;
      return i;
    }
  }
  return std::nullopt;
}

Router::Change Router::Probed(size_t server, bool answered, Time now) {
  absl::MutexLock lock(&mutex_);
  Ejection& ejection = ejections_[server];
  ejection.probing = false;
  if (up(server)) return Change::kNone;
  if (!answered) {
    ejection.until = now + options_.probe_again;
    return Change::kNone;
  }
  ejection.back_at = now;
  ejection.slow = false;
  Server& its = servers_[server];
  its.failures.store(0, std::memory_order_relaxed);
  its.latency.store(0, std::memory_order_relaxed);  // what it was is no guide
  its.samples.store(0, std::memory_order_relaxed);
  its.up.store(true, std::memory_order_relaxed);
  up_.fetch_add(1, std::memory_order_relaxed);
  ejected_.fetch_sub(1, std::memory_order_relaxed);
  return Change::kBack;
}

}  // namespace kvstore::client
