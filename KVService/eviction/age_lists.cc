#include "KVService/eviction/age_lists.h"

#include <algorithm>
#include <bit>

namespace kvstore {

AgeLists::AgeLists(PolicySlots* slots) : slots_(slots) {
  for (size_t i = 0; i < ends_.size(); ++i) {
    ends_[i].hotter = ends_[i].colder = kEnds + static_cast<uint32_t>(i);
  }
  for (size_t i = 0; i < kIntervals; ++i) order_[i] = static_cast<uint8_t>(i);
  used_ = 1;
}

void AgeLists::Advance() {
  ++now_;
  found_age_ = 0;
  const size_t interval = order_[used_++];
  intervals_[interval] = Interval{.start = now_};
  // Where there are too many of one length, the two oldest of them become one twice as long.
  size_t end = used_;
  for (uint32_t level = 0;; ++level) {
    size_t begin = end;
    while (begin > 0 && intervals_[order_[begin - 1]].level == level) --begin;
    if (end - begin <= kAnOctave) return;
    MergeIntoOlder(begin + 1);
    intervals_[order_[begin]].level = std::min<uint32_t>(level + 1, kLevels - 1);
    if (level == kLevels - 1) return;
    end = begin + 1;
  }
}

void AgeLists::MergeIntoOlder(size_t place) {
  const size_t younger = order_[place], older = order_[place - 1];
  for (int c = 0; c < ReuseModel::kClasses; ++c) {
    intervals_[older].watched[c] += intervals_[younger].watched[c];
  }
  const auto& occupied = intervals_[younger].occupied;
  for (size_t word = 0; word < occupied.size(); ++word) {
    for (uint64_t left = occupied[word]; left != 0; left &= left - 1) {
      const int c = static_cast<int>(word * 64) + std::countr_zero(left);
      const uint32_t from = EndOf(younger, c), to = EndOf(older, c);
      // All of the younger ones go in at the hot end of the older.
      const uint32_t hottest = Colder(from), coldest = Hotter(from), below = Colder(to);
      Join(to, hottest);
      Join(coldest, below);
      Join(from, from);
      SetOccupied(to, true);
    }
  }
  std::rotate(order_.begin() + place, order_.begin() + place + 1, order_.begin() + used_);
  --used_;
}

size_t AgeLists::PlaceAt(uint32_t age) const {
  if (age == 0) return used_ - 1;  // half of all calls
  if (age == found_age_) return found_place_;
  // The youngest interval that began at that age or before; what is older than all is in the first.
  size_t low = 0, high = used_;
  while (high - low > 1) {
    const size_t middle = (low + high) / 2;
    (now_ - intervals_[order_[middle]].start >= age ? low : high) = middle;
  }
  found_age_ = age;
  found_place_ = low;
  return low;
}

uint32_t AgeLists::MiddleAge(size_t place) const {
  if (place + 1 == used_) return 0;
  const uint32_t oldest = now_ - intervals_[order_[place]].start;
  const uint32_t youngest = now_ - intervals_[order_[place + 1]].start;
  return youngest + (oldest - youngest + 1) / 2;
}

void AgeLists::Join(uint32_t hotter, uint32_t colder) {
  if (hotter >= kEnds) {
    ends_[hotter - kEnds].colder = colder;
  } else {
    (*slots_)[hotter].colder = colder;
  }
  if (colder >= kEnds) {
    ends_[colder - kEnds].hotter = hotter;
  } else {
    (*slots_)[colder].hotter = hotter;
  }
}

void AgeLists::Link(uint32_t hotter, uint32_t slot) {
  const uint32_t colder = Colder(hotter);
  Join(hotter, slot);
  Join(slot, colder);
}

void AgeLists::SetOccupied(uint32_t end, bool occupied) {
  if (end == kOrphans) return;
  const uint32_t list = end - kEnds;
  const uint32_t block_class = list % ReuseModel::kClasses;
  const uint64_t bit = uint64_t{1} << (block_class % 64);
  uint64_t& bits = intervals_[list / ReuseModel::kClasses].occupied[block_class / 64];
  bits = occupied ? bits | bit : bits & ~bit;
}

void AgeLists::PushHottest(uint32_t slot) {
  const PolicySlot& it = (*slots_)[slot];
  const uint32_t end = EndOf(IntervalAt(AgeOf(it)), it.Class());
  Link(end, slot);
  SetOccupied(end, true);
}

void AgeLists::PushColdest(uint32_t slot) {
  const PolicySlot& it = (*slots_)[slot];
  const uint32_t end = EndOf(IntervalAt(AgeOf(it)), it.Class());
  Link(Hotter(end), slot);
  SetOccupied(end, true);
}

void AgeLists::PushOrphan(uint32_t slot) { Link(kOrphans, slot); }

void AgeLists::Remove(uint32_t slot) {
  const PolicySlot& it = (*slots_)[slot];
  Join(it.hotter, it.colder);
  if (it.hotter == it.colder && it.hotter >= kEnds) SetOccupied(it.hotter, false);
}

uint32_t AgeLists::Coldest(const ReuseModel& model) const {
  float least = 0;
  uint32_t coldest = kNone;
  for (size_t place = 0; place < used_; ++place) {
    const int bucket = ReuseModel::AgeBucket(MiddleAge(place));
    const auto& occupied = intervals_[order_[place]].occupied;
    for (size_t word = 0; word < occupied.size(); ++word) {
      for (uint64_t left = occupied[word]; left != 0; left &= left - 1) {
        const int c = static_cast<int>(word * 64) + std::countr_zero(left);
        const float worth = model.Worth(c, bucket);
        if (coldest == kNone || worth < least) {
          least = worth;
          coldest = ends_[EndOf(order_[place], c) - kEnds].hotter;
        }
      }
    }
  }
  return coldest;
}

uint32_t AgeLists::OldestOrphan() const {
  const uint32_t slot = ends_[kOrphans - kEnds].hotter;
  return slot == kOrphans ? kNone : slot;
}

void AgeLists::Visit(const ReuseModel& model, absl::FunctionRef<bool(uint32_t)> visit) const {
  std::vector<std::pair<float, uint32_t>> lists;  // by worth
  for (size_t place = 0; place < used_; ++place) {
    const int bucket = ReuseModel::AgeBucket(MiddleAge(place));
    for (int c = 0; c < ReuseModel::kClasses; ++c) {
      const uint32_t end = EndOf(order_[place], c);
      if (Hotter(end) != end) lists.emplace_back(model.Worth(c, bucket), end);
    }
  }
  std::stable_sort(lists.begin(), lists.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  lists.insert(lists.begin(), {0, kOrphans});
  for (const auto& [worth, end] : lists) {
    for (uint32_t at = Hotter(end); at != end; at = Hotter(at)) {
      if (!visit(at)) return;
    }
  }
}

void AgeLists::CountWatched(ReuseModel::Watched* watched) const {
  for (auto& of_class : *watched) of_class.fill(0);
  for (size_t place = 0; place < used_; ++place) {
    const int bucket = ReuseModel::AgeBucket(MiddleAge(place));
    for (int c = 0; c < ReuseModel::kClasses; ++c) {
      (*watched)[c][bucket] += intervals_[order_[place]].watched[c];
    }
  }
}

}  // namespace kvstore
