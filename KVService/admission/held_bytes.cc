#include "KVService/admission/held_bytes.h"

#include <utility>

namespace kvstore {

bool HeldBytes::Take(PartyId party, int64_t bytes, bool must, Hold* hold, Cancel cancel,
                     Clock::time_point now) {
  absl::MutexLock lock(&mutex_);
  const auto its = of_party_.find(party);
  const int64_t has = its == of_party_.end() ? 0 : its->second;
  const bool fits = has + bytes <= 2 * (limit_ - bytes_) && bytes_ + bytes <= limit_;
  if (!fits) {
    EndSlowestLocked(now);
    // Alone, one may hold something however large; else nobody ever could.
    if (!must && bytes_ > 0) return false;
  }
  bytes_ += bytes;
  of_party_[party] += bytes;
  hold->party_ = party;
  hold->bytes_ = bytes;
  hold->since_ = now;
  hold->cancel_ = std::move(cancel);
  hold->place_ = held_.insert(held_.end(), hold);
  return true;
}

void HeldBytes::LetGo(Hold* hold) {
  if (!hold->holds()) return;
  absl::MutexLock lock(&mutex_);
  bytes_ -= hold->bytes_;
  const auto its = of_party_.find(hold->party_);
  its->second -= hold->bytes_;
  if (its->second == 0) of_party_.erase(its);
  held_.erase(hold->place_);
  hold->bytes_ = 0;
  hold->cancel_ = nullptr;
}

void HeldBytes::EndSlowest(Clock::time_point now) {
  absl::MutexLock lock(&mutex_);
  EndSlowestLocked(now);
}

void HeldBytes::EndSlowestLocked(Clock::time_point now) {
  int64_t freed = 0;
  for (Hold* hold : held_) {
    if (now - hold->since_ < kPatience || 8 * freed >= limit_) return;
    if (now - hold->since_ < kPatience + std::chrono::seconds(hold->bytes_ / kLeastRate)) continue;
    freed += hold->bytes_;
    if (!hold->cancel_) continue;  // told already
    std::exchange(hold->cancel_, nullptr)();
    ++ended_;
  }
}

int64_t HeldBytes::bytes() const {
  absl::MutexLock lock(&mutex_);
  return bytes_;
}

int64_t HeldBytes::ended() const {
  absl::MutexLock lock(&mutex_);
  return ended_;
}

}  // namespace kvstore
