#include "KVService/observe/tier_health.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <vector>

namespace kvstore {

namespace {

constexpr double kAtOnceMs = 0.005;  // RAM's, whose time is not measured

double BeforeMs(std::span<const Durations> past) {
  std::vector<double> means;
  for (const Durations& stretch : past) {
    if (stretch.count() >= kTellingReads) means.push_back(stretch.mean_ms());
  }
  if (means.empty()) return 0;
  const auto quarter = means.begin() + static_cast<ptrdiff_t>((means.size() - 1) / 4);
  std::nth_element(means.begin(), quarter, means.end());
  return *quarter;
}

}  // namespace

std::string Milliseconds(double ms) {
  if (ms >= 10) return fmt::format("{:.0f}", ms);
  return ms >= 0.1 ? fmt::format("{:.1f}", ms) : fmt::format("{:.2f}", ms);
}

TierHealth JudgeTier(const TierKind& kind, const Durations& now, std::span<const Durations> past) {
  TierHealth health;
  health.before_ms = BeforeMs(past);
  if (now.count() == 0) {
    health.words = "no reads of late";
    return health;
  }
  health.now_ms = now.mean_ms();
  const std::string each =
      health.now_ms < kAtOnceMs ? "answers at once" : Milliseconds(health.now_ms) + " ms a read";
  const bool known = health.before_ms > 0;
  const std::string before = known ? ", " + Milliseconds(health.before_ms) + " ms before" : "";
  const bool slower = known && health.now_ms >= kSlowerTimes * health.before_ms &&
                      health.now_ms >= health.before_ms + kind.floor_ms;
  if (now.count() < kTellingReads || (!slower && health.now_ms < kind.much_ms)) {
    health.state = TierHealth::State::kWell;
    health.words = each + before;
    return health;
  }
  health.state = TierHealth::State::kSlow;
  health.words = fmt::format(
      "{} is slow: {}{}", kind.name, each,
      slower ? before
             : fmt::format("; from {} ms on it counts as slow", Milliseconds(kind.much_ms)));
  return health;
}

}  // namespace kvstore
