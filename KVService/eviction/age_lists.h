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

namespace kvstore {

// All that the policy keeps of a slot: 16 bytes.
struct PolicySlot {
  static constexpr uint32_t kFirst = UINT32_MAX;        // a prompt's first block
  static constexpr uint32_t kMissing = UINT32_MAX - 1;  // its parent is not in
  static constexpr uint32_t kAwaited = UINT32_MAX - 2;  // nor that, but it is on its way
  static constexpr uint32_t kTimeMask = (1u << 23) - 1;
  enum State : uint32_t { kOut, kLeaf, kOrphanLeaf, kInner };

  uint32_t parent = kMissing;
  uint32_t hotter = 0;  // a leaf's neighbours in its list; of an inner block the number of children
  uint32_t colder = 0;
  uint32_t time : 23 = 0;              // of its last use, in lookups
  uint32_t turn : 2 = 0;               // how often its conversation was continued, up to 3
  uint32_t reuse : 2 = 0;              // how often it was found itself, up to 3
  uint32_t state : 2 = kOut;           // a State
  uint32_t watched : 1 = 0;            // in the sample that is learnt from
  uint32_t generation : 1 = 0;         // changes where a block goes before its children
  uint32_t parent_generation : 1 = 0;  // that of the parent when this became its child

  // Blocks found more often than their conversation was continued are shared by several.
  int Class() const { return (reuse > turn ? ReuseModel::kGrades : 0) + static_cast<int>(turn); }
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
  static constexpr uint32_t kEnds = UINT32_MAX - 8192;
  static constexpr uint32_t kOrphans = kEnds + kIntervals * ReuseModel::kClasses;

  struct End {
    uint32_t hotter, colder;  // the coldest and the hottest of the list: it is a ring
  };
  struct Interval {
    uint32_t start = 0;
    uint32_t level = 0;  // lasts about 2^level lookups
    std::array<int32_t, ReuseModel::kClasses> watched{};
  };

  static uint32_t EndOf(size_t interval, int block_class) {
    return kEnds + static_cast<uint32_t>(interval * ReuseModel::kClasses) + block_class;
  }
  uint32_t& Hotter(uint32_t at) {
    return at >= kEnds ? ends_[at - kEnds].hotter : (*slots_)[at].hotter;
  }
  uint32_t& Colder(uint32_t at) {
    return at >= kEnds ? ends_[at - kEnds].colder : (*slots_)[at].colder;
  }
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
};

}  // namespace kvstore

#endif  // KVSERVICE_EVICTION_AGE_LISTS_H_
