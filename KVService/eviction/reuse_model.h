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
  // it was continued or used), news (how much was new to the conversation's last prompt, in
  // quarters of what is usual) and a gap (how long before the last use the one before was). What a
  // class has not seen enough of itself it takes from all of its turn, of its news and of its gap.
  static constexpr int kKinds = 2;
  static constexpr int kTurns = 5;
  static constexpr int kNews = 4;
  static constexpr int kGaps = 6;  // 0: there was none; then four times as long each
  static constexpr int kGrades = kTurns * kNews * kGaps;
  static constexpr int kClasses = kKinds * kGrades;
  static constexpr int kAges = 48;  // buckets, two an octave

  ReuseModel();

  static int AgeBucket(uint32_t age);

  static uint32_t GapOf(uint32_t age);
  // REQUIRES: uses <= 7, news < kNews, gap < kGaps.
  static int ClassOf(uint32_t kind, uint32_t uses, uint32_t news, uint32_t gap);

  // A block that was watched was used again (`reused`), or is watched no longer, at that age.
  void Record(int block_class, uint32_t age, bool reused);

  // The records from now on are of another lookup. Blocks that are used together are one piece of
  // evidence, not many: the effective size of a sample that was drawn in clusters (Kish).
  void NextLookup();

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
  // How many reuses a lookup records: sums of the numbers and of their squares.
  struct Together {
    double now = 0, sum = 0, squares = 0;
    double Mean() const { return (squares + 1) / (sum + 1); }  // that a reuse is recorded among
  };
  Evidence Gather(int first, const Watched& watched) const;
  // How much more or less each grade is reused than its gap alone says.
  std::array<double, kGrades> FactorsOf(int first, const Evidence& all,
                                        const std::array<Curve, kGaps>& of_gap,
                                        double presumed) const;
  static Curve HazardOf(const Curve& reuses, const Curve& time);
  void SetWorth(int block_class, const Curve& rates, const Curve& kind_time);

  std::array<Together, kKinds> together_;
  std::array<Curve, kClasses> reuses_{};
  std::array<Curve, kClasses> time_{};  // spent at each age by those no longer watched
  std::array<std::array<float, kAges>, kClasses> worth_;
};

}  // namespace kvstore

#endif  // KVSERVICE_EVICTION_REUSE_MODEL_H_
