// Lists of blocks by class and age, that any block joins or leaves at once.
//
// Time, in lookups, is cut into intervals: the newest are one lookup long, older ones twice as long
// after every few, as in an exponential histogram. So all ages are told apart equally well, in
// about four intervals an octave, whatever the size of the cache. An interval has one list a class.
// When it grows old it is merged with its neighbour, list to list.
#ifndef KVSERVICE_EVICTION_AGE_LISTS_H_
#define KVSERVICE_EVICTION_AGE_LISTS_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "KVCommon/chunked_vector.h"
#include "KVService/eviction/reuse_model.h"
#include "absl/functional/function_ref.h"

namespace kvstore {

// All that the policy keeps of a slot: 16 bytes.
struct PolicySlot {
  // Numbers below kSlots are slots; the ones above are AgeLists' ends and PrefixPolicy's aliases.
  static constexpr uint32_t kSlots = 1'000'000'000;
  static constexpr uint32_t kMax = (1u << 30) - 1;
  static constexpr uint32_t kFirst = kMax;        // a prompt's first block
  static constexpr uint32_t kMissing = kMax - 1;  // its parent is not in
  static constexpr uint32_t kAwaited = kMax - 2;  // nor that, but it is on its way
  static constexpr uint32_t kTimeMask = (1u << 23) - 1;
  static constexpr uint32_t kMost = 7;  // what 3 bits hold
  enum State : uint32_t { kOut, kLeaf, kOrphanLeaf, kInner };

  PolicySlot()
      : parent(kMissing),
        watched(0),
        shared(0),
        hotter(0),
        state(kOut),
        colder(0),
        news(0),
        time(0),
        turn(0),
        reuse(0),
        gap(0) {}

  uint32_t parent : 30;  // a slot or an alias of one
  uint32_t watched : 1;  // in the sample that is learnt from
  uint32_t shared : 1;   // was found more often than its conversation was continued
  uint32_t
      hotter : 30;     // a leaf's neighbours in its list; of an inner block the number of children
  uint32_t state : 2;  // a State
  uint32_t colder : 30;
  uint32_t news : 2;   // how many blocks were new to its conversation's last prompt, as a quarter
  uint32_t time : 23;  // of its last use, in lookups
  uint32_t turn : 3;   // how often its conversation was continued, up to kMost
  uint32_t reuse : 3;  // how often it was found itself, up to kMost
  uint32_t gap : 3;    // how long its last use but one was before its last, see ReuseModel::GapOf

  int Class() const {
    return ReuseModel::ClassOf(shared, shared ? reuse : turn, shared ? 0 : news, gap);
  }
};
static_assert(sizeof(PolicySlot) == 16);
using PolicySlots = ChunkedVector<PolicySlot>;

// Not thread-safe.
class AgeLists {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;

  // `slots` outlives it.
  explicit AgeLists(PolicySlots* slots);

  uint32_t now() const { return now_; }
  uint32_t AgeOf(const PolicySlot& slot) const {
    return (now_ - slot.time) & PolicySlot::kTimeMask;
  }

  // The next lookup: begins an interval.
  void Advance();

  // Joins the list of its class and age, at its cold or hot end.
  void PushHottest(uint32_t slot);
  void PushColdest(uint32_t slot);
  void PushOrphan(uint32_t slot);
  void Remove(uint32_t slot);  // from whichever it is in

  // The coldest of the list that is worth least; kNone where all are empty. Orphans do not count.
  uint32_t Coldest(const ReuseModel& model) const;
  uint32_t OldestOrphan() const;
  // Orphans, oldest first, then all others, from the list that is worth least on and in each from
  // the coldest on, until `visit` returns false; which must change nothing.
  void Visit(const ReuseModel& model, absl::FunctionRef<bool(uint32_t slot)> visit) const;

  // Counts the watched blocks of each class and age.
  void Watch(int block_class, uint32_t age, int change) {
    intervals_[IntervalAt(age)].watched[block_class] += change;
  }
  void CountWatched(ReuseModel::Watched* watched) const;

 private:
  static constexpr size_t kAnOctave = 4;  // intervals of each length, at most
  static constexpr size_t kLevels = 23;
  static constexpr size_t kIntervals = 128;  // more than kAnOctave * kLevels + 2
  // Numbers of the lists' ends, among those of slots.
  static constexpr uint32_t kEnds = PolicySlot::kMax - 32768;
  static constexpr uint32_t kOrphans = kEnds + kIntervals * ReuseModel::kClasses;
  static_assert(kOrphans < PolicySlot::kAwaited);

  struct End {
    uint32_t hotter, colder;  // the coldest and the hottest of the list: it is a ring
  };
  struct Interval {
    uint32_t start = 0;
    uint32_t level = 0;  // lasts about 2^level lookups
    // A bit a class: most lists are empty, and Coldest looks at all others.
    std::array<uint64_t, (ReuseModel::kClasses + 63) / 64> occupied{};
    std::array<int32_t, ReuseModel::kClasses> watched{};
  };

  static uint32_t EndOf(size_t interval, int block_class) {
    return kEnds + static_cast<uint32_t>(interval * ReuseModel::kClasses) + block_class;
  }
  uint32_t Hotter(uint32_t at) const {
    return at >= kEnds ? ends_[at - kEnds].hotter : (*slots_)[at].hotter;
  }
  uint32_t Colder(uint32_t at) const {
    return at >= kEnds ? ends_[at - kEnds].colder : (*slots_)[at].colder;
  }
  // Notes that the list of this end has become empty, or has not.
  void SetOccupied(uint32_t end, bool occupied);
  // Makes them neighbours.
  void Join(uint32_t hotter, uint32_t colder);
  void Link(uint32_t hotter, uint32_t slot);
  void MergeIntoOlder(size_t place);
  size_t PlaceAt(uint32_t age) const;
  size_t IntervalAt(uint32_t age) const { return order_[PlaceAt(age)]; }
  // The age in the middle of an interval.
  uint32_t MiddleAge(size_t place) const;

  PolicySlots* slots_;
  uint32_t now_ = 0;
  std::array<Interval, kIntervals> intervals_;
  std::array<End, kIntervals * ReuseModel::kClasses + 1> ends_;
  std::array<uint8_t, kIntervals> order_{};  // numbers of intervals, oldest first, then free ones
  size_t used_ = 0;
  // What PlaceAt found last, until the next lookup: blocks that were found together are of one age.
  mutable uint32_t found_age_ = 0;
  mutable size_t found_place_ = 0;
};

}  // namespace kvstore

#endif  // KVSERVICE_EVICTION_AGE_LISTS_H_
