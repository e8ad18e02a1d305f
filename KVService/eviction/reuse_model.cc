#include "KVService/eviction/reuse_model.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

namespace kvstore {
namespace {

// How many reuses' worth of evidence what is presumed counts for. Blocks of a prompt are used
// together: so many may be one conversation or two.
constexpr double kPresumed = 30;
constexpr double kEnough = 8;  // reuses of a kind, to presume anything
constexpr double kForgetting = 0.9;

double BucketStart(int bucket) {
  if (bucket < 2) return bucket;
  return static_cast<double>((uint64_t{2} + (bucket & 1)) << (bucket / 2 - 1));
}

double BucketWidth(int bucket) { return BucketStart(bucket + 1) - BucketStart(bucket); }

void AddTime(double count, int bucket, double in_bucket,
             std::array<double, ReuseModel::kAges>& to) {
  for (int b = 0; b < bucket; ++b) to[b] += count * BucketWidth(b);
  to[bucket] += count * in_bucket;
}

double Sum(const std::array<double, ReuseModel::kAges>& curve) {
  return std::accumulate(curve.begin(), curve.end(), 0.0);
}

double Dot(const std::array<double, ReuseModel::kAges>& a,
           const std::array<double, ReuseModel::kAges>& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

// What some are more or less reused than expected.
double FactorOf(double reuses, double expected) {
  return (reuses + kPresumed) / (expected + kPresumed);
}

// A hazard by age: what is presumed, times the factor, and then what was seen.
std::array<double, ReuseModel::kAges> Refined(const std::array<double, ReuseModel::kAges>& presumed,
                                              double factor,
                                              const std::array<double, ReuseModel::kAges>& reuses,
                                              const std::array<double, ReuseModel::kAges>& time) {
  std::array<double, ReuseModel::kAges> hazard;
  for (int b = 0; b < ReuseModel::kAges; ++b) {
    hazard[b] =
        (reuses[b] + kPresumed) / (time[b] + kPresumed / std::max(presumed[b] * factor, 1e-12));
  }
  return hazard;
}

}  // namespace

ReuseModel::ReuseModel() {
  for (auto& curve : worth_) {
    // Least recently used, until there is evidence.
    for (int b = 0; b < kAges; ++b) curve[b] = static_cast<float>(1 / (1 + BucketStart(b)));
  }
}

int ReuseModel::AgeBucket(uint32_t age) {
  if (age < 2) return static_cast<int>(age);
  const int log = std::bit_width(age) - 1;
  return std::min(kAges - 1, 2 * log + static_cast<int>((age >> (log - 1)) & 1));
}

void ReuseModel::Record(int block_class, uint32_t age, bool reused) {
  const int bucket = AgeBucket(age);
  AddTime(1, bucket, age - BucketStart(bucket) + 0.5, time_[block_class]);
  if (reused) reuses_[block_class][bucket] += 1;
}

void ReuseModel::Forget() {
  for (int c = 0; c < kClasses; ++c) {
    for (int b = 0; b < kAges; ++b) {
      reuses_[c][b] *= kForgetting;
      time_[c][b] *= kForgetting;
    }
  }
}

uint32_t ReuseModel::GapOf(uint32_t age) {
  return static_cast<uint32_t>(
      std::clamp((static_cast<int>(std::bit_width(age)) - 4) / 2, 1, kGaps - 1));
}

int ReuseModel::ClassOf(uint32_t kind, uint32_t uses, uint32_t gap) {
  static constexpr std::array<int, 8> kTurnOf = {0, 1, 2, 3, 3, 4, 4, 4};
  return static_cast<int>(kind) * kGrades + kTurnOf[uses] * kGaps + static_cast<int>(gap);
}

ReuseModel::Evidence ReuseModel::Gather(int first, const Watched& watched) const {
  Evidence all;
  for (int grade = 0; grade < kGrades; ++grade) {
    const int c = first + grade, gap = grade % kGaps;
    Curve& time = all.grade_time[grade];
    time = time_[c];
    for (int b = 0; b < kAges; ++b) {
      if (watched[c][b] > 0) AddTime(watched[c][b], b, BucketWidth(b) / 2, time);
    }
    for (int b = 0; b < kAges; ++b) {
      all.reuses[b] += reuses_[c][b];
      all.time[b] += time[b];
      all.gap_reuses[gap][b] += reuses_[c][b];
      all.gap_time[gap][b] += time[b];
    }
  }
  return all;
}

// Where little is known of an age it is presumed to be that of all later ones together; beyond what
// is known it is presumed to fall as 1 / age does.
ReuseModel::Curve ReuseModel::HazardOf(const Curve& reuses, const Curve& time) {
  double later_reuses = Sum(reuses), later_time = Sum(time);
  Curve hazard{};
  double presumed = 1;
  for (int b = 0; b < kAges; ++b) {
    if (b == 0 || time[b] > 0) {
      presumed = (later_reuses + 1) / (later_time + BucketWidth(b));
    } else {
      presumed = hazard[b - 1] * (b < 3 ? 0.5 : BucketStart(b - 1) / BucketStart(b));
    }
    hazard[b] = (reuses[b] + 1) / (time[b] + 1 / presumed);
    later_reuses -= reuses[b];
    later_time -= time[b];
  }
  return hazard;
}

void ReuseModel::Learn(int kind, const Watched& watched) {
  const int first = kind * kGrades;
  const Evidence all = Gather(first, watched);
  if (Sum(all.reuses) < kEnough) return;
  const Curve hazard = HazardOf(all.reuses, all.time);
  std::array<Curve, kGaps> of_gap;
  for (int gap = 0; gap < kGaps; ++gap) {
    of_gap[gap] =
        Refined(hazard, FactorOf(Sum(all.gap_reuses[gap]), Dot(all.gap_time[gap], hazard)),
                all.gap_reuses[gap], all.gap_time[gap]);
  }
  for (int turn = 0; turn < kTurns; ++turn) {
    std::array<double, kGaps> reuses{}, expected{};
    double all_reuses = 0, all_expected = 0;
    for (int gap = 0; gap < kGaps; ++gap) {
      const int grade = turn * kGaps + gap;
      all_reuses += reuses[gap] = Sum(reuses_[first + grade]);
      all_expected += expected[gap] = Dot(all.grade_time[grade], of_gap[gap]);
    }
    const double of_turn = FactorOf(all_reuses, all_expected);
    for (int gap = 0; gap < kGaps; ++gap) {
      const int grade = turn * kGaps + gap;
      const double factor = of_turn * FactorOf(reuses[gap], expected[gap] * of_turn);
      SetWorth(first + grade,
               Refined(of_gap[gap], factor, reuses_[first + grade], all.grade_time[grade]),
               all.time);
    }
  }
}

void ReuseModel::SetWorth(int block_class, const Curve& rates, const Curve& kind_time) {
  Curve kept{};     // how many of those that come to this age leave it without a reuse
  Curve lookups{};  // for how long one of them is kept within this age
  for (int b = 0; b < kAges; ++b) {
    kept[b] = std::exp(-rates[b] * BucketWidth(b));
    lookups[b] = (1 - kept[b]) / rates[b];
  }
  for (int b = 0; b < kAges; ++b) {
    double left = 1, hits = 0, cost = 0, best = 0;
    for (int until = b; until < kAges; ++until) {
      hits += left * (1 - kept[until]);
      cost += left * lookups[until];
      left *= kept[until];
      best = std::max(best, hits / cost);
      if (kind_time[until] <= 0) break;  // nobody knows what is beyond
    }
    worth_[block_class][b] = static_cast<float>(best);
  }
}

}  // namespace kvstore
