// How soon blocks are used again, learnt from what happens to them.
//
// For each class of blocks it estimates the hazard: the rate of reuse at each age, in uses a
// lookup, from the reuses that were seen and the time that blocks spent at that age, those
// included that wait still. From it follows the worth of keeping a block of that class and age:
// the most hits per lookup of keeping that any time to give up can reach (Gittins' index; LHD's
// hit density is its relative).
#ifndef KVSERVICE_EVICTION_REUSE_MODEL_H_
#define KVSERVICE_EVICTION_REUSE_MODEL_H_

#include <array>
#include <cstdint>

namespace kvstore {

// Not thread-safe.
class ReuseModel {
 public:
  static constexpr int kKinds = 2;   // of which each has an age curve of its own
  static constexpr int kGrades = 4;  // of a kind: they share its curve until they know better
  static constexpr int kClasses = kKinds * kGrades;  // class = kind * kGrades + grade
  static constexpr int kAges = 48;                   // buckets, two an octave

  ReuseModel();

  static int AgeBucket(uint32_t age);

  // A block that was watched was used again (`reused`), or is watched no longer, at that age.
  void Record(int block_class, uint32_t age, bool reused);

  // Blocks of each class that are watched now, by the bucket of their age.
  using Watched = std::array<std::array<int32_t, kAges>, kClasses>;

  // Computes the worth of one class anew; all that is known of its kind goes in.
  void Learn(int block_class, const Watched& watched);

  // In hits per lookup of keeping it. Only comparisons mean anything.
  float Worth(int block_class, int age_bucket) const { return worth_[block_class][age_bucket]; }

 private:
  using Curve = std::array<double, kAges>;

  void Forget();

  std::array<Curve, kClasses> reuses_{};
  std::array<Curve, kClasses> time_{};  // spent at each age by those no longer watched
  std::array<std::array<float, kAges>, kClasses> worth_;
  double recorded_ = 0;  // since the last Forget
};

}  // namespace kvstore

#endif  // KVSERVICE_EVICTION_REUSE_MODEL_H_
