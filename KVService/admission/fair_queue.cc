#include "KVService/admission/fair_queue.h"

#include <utility>

namespace kvstore {

bool FairQueue::Ask(PartyId party, int64_t amount, Go go) {
  std::vector<Go> next;
  bool any_waits = false;
  {
    absl::MutexLock lock(&mutex_);
    waiting_.Push(party, amount, Waiting{amount, std::move(go)});
    next = Next();
    any_waits = !waiting_.empty();
  }
  for (Go& its : next) std::move(its)();
  return any_waits;
}

void FairQueue::Return(int64_t amount) {
  std::vector<Go> next;
  {
    absl::MutexLock lock(&mutex_);
    given_ -= amount;
    next = Next();
  }
  for (Go& its : next) std::move(its)();
}

size_t FairQueue::waiting() const {
  absl::MutexLock lock(&mutex_);
  return waiting_.size();
}

int64_t FairQueue::given() const {
  absl::MutexLock lock(&mutex_);
  return given_;
}

std::vector<FairQueue::Go> FairQueue::Next() {
  std::vector<Go> next;
  while (!waiting_.empty()) {
    if (given_ > 0 && given_ + waiting_.first().amount > limit_) break;
    given_ += waiting_.first().amount;
    next.push_back(waiting_.Pop().go);
  }
  return next;
}

}  // namespace kvstore
