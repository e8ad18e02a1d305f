#include "KVService/storage/azure/concurrency_limit.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "KVCommon/status_macros.h"

namespace kvstore::azure {

ConcurrencyLimit::ConcurrencyLimit(size_t max, size_t max_waiting)
    : max_(max), max_waiting_(max_waiting), limit_(static_cast<double>(max)) {
  KV_CHECK(max > 0);
}

bool ConcurrencyLimit::HasPlace() const { return static_cast<double>(under_way_ + 1) <= limit_; }

void ConcurrencyLimit::Acquire(absl::Time deadline, Ready ready) {
  absl::StatusOr<Permit> answer = Permit();
  {
    absl::MutexLock lock(&mutex_);
    if (waiters_.empty() && HasPlace()) {
      ++under_way_;
      answer->epoch = epoch_;
    } else if (waiters_.size() < max_waiting_) {
      waiters_.push_back({deadline, std::move(ready)});
      return;
    } else {
      answer = absl::ResourceExhaustedError(fmt::format(
          "Azure Blob Storage: {} requests wait for one of {:.0f} places", max_waiting_, limit_));
    }
  }
  std::move(ready)(std::move(answer));
}

void ConcurrencyLimit::Release(Permit permit, Outcome outcome) {
  mutex_.Lock();
  --under_way_;
  if (outcome == Outcome::kSuccess) {
    limit_ = std::min(static_cast<double>(max_), limit_ + 1 / limit_);
  } else if (outcome == Outcome::kThrottled && permit.epoch == epoch_) {
    limit_ = std::max(1.0, limit_ / 2);
    ++epoch_;
  }
  // One caller at a time hands places on: a request that is refused at once comes back here from
  // inside its `ready`, and thousands that wait must not become as many stack frames.
  const bool hand_on = !handing_on_;
  while (hand_on && !waiters_.empty() && HasPlace()) {
    handing_on_ = true;
    ++under_way_;
    const Permit next{epoch_};
    Ready ready = std::move(waiters_.front().ready);
    waiters_.pop_front();
    mutex_.Unlock();
    std::move(ready)(next);
    mutex_.Lock();
  }
  if (hand_on) handing_on_ = false;
  mutex_.Unlock();
}

bool ConcurrencyLimit::Sweep(absl::Time now) {
  std::vector<Ready> late;
  bool left;
  {
    absl::MutexLock lock(&mutex_);
    std::deque<Waiter> kept;
    for (Waiter& waiter : waiters_) {
      if (waiter.deadline <= now) {
        late.push_back(std::move(waiter.ready));
      } else {
        kept.push_back(std::move(waiter));
      }
    }
    waiters_ = std::move(kept);
    left = !waiters_.empty();
  }
  for (Ready& ready : late) {
    std::move(ready)(absl::DeadlineExceededError(
        "Azure Blob Storage: the deadline passed while waiting for a place"));
  }
  return left;
}

double ConcurrencyLimit::limit() const {
  absl::MutexLock lock(&mutex_);
  return limit_;
}

size_t ConcurrencyLimit::under_way() const {
  absl::MutexLock lock(&mutex_);
  return under_way_;
}

size_t ConcurrencyLimit::waiting() const {
  absl::MutexLock lock(&mutex_);
  return waiters_.size();
}

}  // namespace kvstore::azure
