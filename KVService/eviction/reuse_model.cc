#include "KVService/eviction/reuse_model.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace kvstore {
namespace {

// How many reuses' worth of evidence what is presumed counts for: a class is presumed to be like
// its kind until it has seen about as many. Anything from 2 to 30 does as well.
constexpr double kPresumed = 8;
// So many records make the older ones count a tenth less.
constexpr double kForgetAfter = 4096;
constexpr double kForgetting = 0.9;

double BucketStart(int bucket) {
  return bucket < 2 ? bucket : std::ldexp(2 + (bucket & 1), bucket / 2 - 1);
}

double BucketWidth(int bucket) { return BucketStart(bucket + 1) - BucketStart(bucket); }

void AddTime(double count, int bucket, double in_bucket,
             std::array<double, ReuseModel::kAges>& to) {
  for (int b = 0; b < bucket; ++b) to[b] += count * BucketWidth(b);
  to[bucket] += count * in_bucket;
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
  if (++recorded_ >= kForgetAfter) Forget();
}

void ReuseModel::Forget() {
  recorded_ = 0;
  for (int c = 0; c < kClasses; ++c) {
    for (int b = 0; b < kAges; ++b) {
      reuses_[c][b] *= kForgetting;
      time_[c][b] *= kForgetting;
    }
  }
}

void ReuseModel::Learn(int block_class, const Watched& watched) {
  // What its kind did, and what it did.
  Curve kind_reuses{}, kind_time{}, own_time{};
  const int first = block_class / kGrades * kGrades;
  for (int c = first; c < first + kGrades; ++c) {
    Curve time = time_[c];
    for (int b = 0; b < kAges; ++b) {
      if (watched[c][b] > 0) AddTime(watched[c][b], b, BucketWidth(b) / 2, time);
    }
    for (int b = 0; b < kAges; ++b) {
      kind_reuses[b] += reuses_[c][b];
      kind_time[b] += time[b];
    }
    if (c == block_class) own_time = time;
  }
  // The kind's hazard by age. Where little is known of an age it is presumed to be that of all
  // later ones together; beyond what is known it is presumed to fall as 1 / age does.
  double later_reuses = 0, later_time = 0;
  for (int b = 0; b < kAges; ++b) {
    later_reuses += kind_reuses[b];
    later_time += kind_time[b];
  }
  if (later_reuses < kPresumed) return;  // no evidence yet
  Curve hazard{};
  double own_reuses = 0, expected = 0;
  double presumed = 1;
  for (int b = 0; b < kAges; ++b) {
    if (b == 0 || kind_time[b] > 0) {
      presumed = (later_reuses + 1) / (later_time + BucketWidth(b));
    } else {
      presumed = hazard[b - 1] * (b < 3 ? 0.5 : BucketStart(b - 1) / BucketStart(b));
    }
    hazard[b] = (kind_reuses[b] + 1) / (kind_time[b] + 1 / presumed);
    later_reuses -= kind_reuses[b];
    later_time -= kind_time[b];
    own_reuses += reuses_[block_class][b];
    expected += own_time[b] * hazard[b];
  }
  // The class's: the kind's, times what it is more or less reused than that, then its own evidence.
  const double factor = (own_reuses + kPresumed) / (expected + kPresumed);
  Curve kept{};     // how many of those that come to this age leave it without a reuse
  Curve lookups{};  // for how long one of them is kept within this age
  for (int b = 0; b < kAges; ++b) {
    const double rate = (reuses_[block_class][b] + kPresumed) /
                        (own_time[b] + kPresumed / std::max(hazard[b] * factor, 1e-12));
    kept[b] = std::exp(-rate * BucketWidth(b));
    lookups[b] = (1 - kept[b]) / rate;
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
