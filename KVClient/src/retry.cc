#include "KVClient/src/retry.h"

#include <algorithm>
#include <random>

#include "KVClient/src/server_list.h"

namespace kvstore::client {
namespace {

std::chrono::milliseconds FullJitter(int waits) {
  thread_local std::minstd_rand random(std::random_device{}());
  const auto most = std::min(kMaxBackoff, kFirstBackoff * (1 << std::min(waits, 10)));
  return std::chrono::milliseconds(std::uniform_int_distribution<int64_t>(0, most.count())(random));
}

}  // namespace

std::optional<std::chrono::milliseconds> RetryState::Next(const absl::Status& error,
                                                          bool other_server,
                                                          std::chrono::milliseconds hint) {
  if (error.code() != absl::StatusCode::kUnavailable &&
      error.code() != absl::StatusCode::kResourceExhausted) {
    return std::nullopt;
  }
  std::chrono::milliseconds delay{0};
  if (other_server && moves_ < static_cast<int>(kMaxServers)) {
    ++moves_;
  } else {
    if (waits_ + 1 >= kMaxAttempts) return std::nullopt;
    delay = hint + FullJitter(waits_++);  // or all that were refused would come back together
  }
  if (Clock::now() + delay >= deadline_) return std::nullopt;
  ++attempts_;
  return delay;
}

void RetryBudget::Called() {
  // Near enough where two meet, and mostly it is full.
  if (left_.load(std::memory_order_relaxed) < kMost) {
    left_.fetch_add(kCall, std::memory_order_relaxed);
  }
}

bool RetryBudget::Take(bool moving) {
  const int64_t least = kRetry + (moving ? 0 : kForMoves);
  int64_t left = left_.load(std::memory_order_relaxed);
  while (left >= least) {
    if (left_.compare_exchange_weak(left, left - kRetry, std::memory_order_relaxed)) return true;
  }
  return false;
}

std::chrono::system_clock::time_point ToSystem(Clock::time_point deadline) {
  return std::chrono::system_clock::now() +
         std::chrono::duration_cast<std::chrono::system_clock::duration>(deadline - Clock::now());
}

}  // namespace kvstore::client
