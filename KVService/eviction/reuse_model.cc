#include "KVService/eviction/reuse_model.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

namespace kvstore {
namespace {

// How many lookups' worth of evidence what is presumed counts for.
constexpr double kPresumedLookups = 6;
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

struct Count {
  double reuses = 0, expected = 0;

  void Add(double more_reuses, double more_expected) {
    reuses += more_reuses;
    expected += more_expected;
  }
  // How much more or less these are reused than expected.
  double Factor(double presumed) const { return (reuses + presumed) / (expected + presumed); }
};

// A hazard by age: what is presumed, times the factor, and then what was seen.
std::array<double, ReuseModel::kAges> Refined(const std::array<double, ReuseModel::kAges>& hazard,
                                              double factor,
                                              const std::array<double, ReuseModel::kAges>& reuses,
                                              const std::array<double, ReuseModel::kAges>& time,
                                              double presumed) {
  std::array<double, ReuseModel::kAges> refined;
  for (int b = 0; b < ReuseModel::kAges; ++b) {
    refined[b] =
        (reuses[b] + presumed) / (time[b] + presumed / std::max(hazard[b] * factor, 1e-12));
  }
  return refined;
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
  if (!reused) return;
  reuses_[block_class][bucket] += 1;
  together_[block_class / kGrades].now += 1;
}

void ReuseModel::NextLookup() {
  for (Together& kind : together_) {
    kind.sum += kind.now;
    kind.squares += kind.now * kind.now;
    kind.now = 0;
  }
}

void ReuseModel::Forget() {
  for (int c = 0; c < kClasses; ++c) {
    for (int b = 0; b < kAges; ++b) {
      reuses_[c][b] *= kForgetting;
      time_[c][b] *= kForgetting;
    }
  }
  for (Together& kind : together_) {
    kind.sum *= kForgetting;
    kind.squares *= kForgetting;
  }
}

uint32_t ReuseModel::GapOf(uint32_t age) {
  return static_cast<uint32_t>(
      std::clamp((static_cast<int>(std::bit_width(age)) - 4) / 2, 1, kGaps - 1));
}

int ReuseModel::ClassOf(uint32_t kind, uint32_t uses, uint32_t news, uint32_t gap) {
  static constexpr std::array<int, 8> kTurnOf = {0, 1, 2, 3, 3, 4, 4, 4};
  return static_cast<int>(kind) * kGrades +
         (kTurnOf[uses] * kNews + static_cast<int>(news)) * kGaps + static_cast<int>(gap);
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

std::array<double, ReuseModel::kGrades> ReuseModel::FactorsOf(
    int first, const Evidence& all, const std::array<Curve, kGaps>& of_gap, double presumed) const {
  const auto turn_of = [](int grade) { return grade / (kNews * kGaps); };
  const auto news_of = [](int grade) { return grade / kGaps % kNews; };
  // Each step refines what the step before expects.
  std::array<double, kGrades> reuses{}, expected{}, factors{};
  std::array<Count, kTurns> turns{};
  std::array<Count, kNews> news{};
  std::array<Count, kTurns * kNews> both{};
  for (int grade = 0; grade < kGrades; ++grade) {
    reuses[grade] = Sum(reuses_[first + grade]);
    expected[grade] = Dot(all.grade_time[grade], of_gap[grade % kGaps]);
    turns[turn_of(grade)].Add(reuses[grade], expected[grade]);
  }
  for (int grade = 0; grade < kGrades; ++grade) {
    factors[grade] = turns[turn_of(grade)].Factor(presumed);
    news[news_of(grade)].Add(reuses[grade], expected[grade] * factors[grade]);
  }
  for (int grade = 0; grade < kGrades; ++grade) {
    factors[grade] *= news[news_of(grade)].Factor(presumed);
    both[grade / kGaps].Add(reuses[grade], expected[grade] * factors[grade]);
  }
  for (int grade = 0; grade < kGrades; ++grade) {
    factors[grade] *= both[grade / kGaps].Factor(presumed);
    factors[grade] *= Count{reuses[grade], expected[grade] * factors[grade]}.Factor(presumed);
  }
  return factors;
}

void ReuseModel::Learn(int kind, const Watched& watched) {
  const int first = kind * kGrades;
  const Evidence all = Gather(first, watched);
  if (Sum(all.reuses) < kEnough) return;
  const double presumed = kPresumedLookups * together_[kind].Mean();
  const Curve hazard = HazardOf(all.reuses, all.time);
  std::array<Curve, kGaps> of_gap;
  for (int gap = 0; gap < kGaps; ++gap) {
    const Count count{Sum(all.gap_reuses[gap]), Dot(all.gap_time[gap], hazard)};
    of_gap[gap] =
        Refined(hazard, count.Factor(presumed), all.gap_reuses[gap], all.gap_time[gap], presumed);
  }
  const std::array<double, kGrades> factors = FactorsOf(first, all, of_gap, presumed);
  for (int grade = 0; grade < kGrades; ++grade) {
    SetWorth(first + grade,
             Refined(of_gap[grade % kGaps], factors[grade], reuses_[first + grade],
                     all.grade_time[grade], presumed),
             all.time);
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
