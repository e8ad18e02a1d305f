// Says of a tier in words whether it is slow: against its own past, or beyond what is plainly much.
#ifndef KVSERVICE_OBSERVE_TIER_HEALTH_H_
#define KVSERVICE_OBSERVE_TIER_HEALTH_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "KVService/observe/metrics_lookup.h"

namespace kvstore {

struct TierKind {
  std::string_view label;  // of the metrics: tier="…"
  std::string_view name;   // for people
  double floor_ms;         // that it must have grown by to count as slower than before
  double much_ms;          // a mean beyond it is slow whatever the past was
};

inline constexpr TierKind kTierKinds[] = {
    {"ram", "RAM", 2, 5}, {"disk", "Disk", 10, 50}, {"azure", "Azure", 40, 200}};
inline constexpr size_t kTiers = std::size(kTierKinds);

// So many times its past is slow.
inline constexpr double kSlowerTimes = 3;
// Fewer reads say nothing.
inline constexpr uint64_t kTellingReads = 3;

struct TierHealth {
  enum class State { kIdle, kWell, kSlow };

  State state = State::kIdle;
  double now_ms = 0;     // the mean; 0 where there were no reads
  double before_ms = 0;  // likewise
  std::string words;     // such as "Azure is slow: 214 ms a read, 5 ms before"
};

// `past`: stretches of the time before. One in four may itself have been slow: what a tier does in
// the quicker ones is what it can do.
TierHealth JudgeTier(const TierKind& kind, const Durations& now, std::span<const Durations> past);

// As people write it: 214, 5.2, 0.04.
std::string Milliseconds(double ms);

}  // namespace kvstore

#endif  // KVSERVICE_OBSERVE_TIER_HEALTH_H_
