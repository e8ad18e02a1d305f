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
  // A class is of a kind (0: of one conversation, 1: shared by several), and has a turn (how often
  // it was continued or used) and a gap (how long before the last use the one before was). What a
  // class has not seen enough of itself it takes from all of its turn and all of its gap.
  static constexpr int kKinds = 2;
  static constexpr int kTurns = 5;
  static constexpr int kGaps = 6;  // 0: there was none; then four times as long each
  static constexpr int kGrades = kTurns * kGaps;
  static constexpr int kClasses = kKinds * kGrades;
  static constexpr int kAges = 48;  // buckets, two an octave

  ReuseModel();

  static int AgeBucket(uint32_t age);

  static uint32_t GapOf(uint32_t age);
  static int ClassOf(uint32_t kind, uint32_t uses, uint32_t gap);  // REQUIRES: uses <= 7

  // A block that was watched was used again (`reused`), or is watched no longer, at that age.
  void Record(int block_class, uint32_t age, bool reused);

  // Blocks of each class that are watched now, by the bucket of their age.
  using Watched = std::array<std::array<int32_t, kAges>, kClasses>;

  // Computes the worths of a kind's classes anew.
  void Learn(int kind, const Watched& watched);

  // Older records count a tenth less from now on.
  void Forget();

  // In hits per lookup of keeping it. Only comparisons mean anything.
  float Worth(int block_class, int age_bucket) const { return worth_[block_class][age_bucket]; }

 private:
  using Curve = std::array<double, kAges>;

  // What is known of a kind.
  struct Evidence {
    Curve reuses{}, time{};
    std::array<Curve, kGaps> gap_reuses{}, gap_time{};
    std::array<Curve, kGrades> grade_time{};  // those that wait still included
  };
  Evidence Gather(int first, const Watched& watched) const;
  static Curve HazardOf(const Curve& reuses, const Curve& time);
  void SetWorth(int block_class, const Curve& rates, const Curve& kind_time);

  std::array<Curve, kClasses> reuses_{};
  std::array<Curve, kClasses> time_{};  // spent at each age by those no longer watched
  std::array<std::array<float, kAges>, kClasses> worth_;
};

}  // namespace kvstore

#endif  // KVSERVICE_EVICTION_REUSE_MODEL_H_
