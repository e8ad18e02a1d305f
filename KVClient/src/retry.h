// When a failed attempt is made again. Every operation is idempotent, so a repeat is always safe.
#ifndef KVCLIENT_SRC_RETRY_H_
#define KVCLIENT_SRC_RETRY_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>

#include "absl/status/status.h"

namespace kvstore::client {

using Clock = std::chrono::steady_clock;

// Attempts of one call that waited for their turn; about 2 s of them in all. A cache that is down
// must not hold its caller up for longer than what it saves.
inline constexpr int kMaxAttempts = 8;
inline constexpr std::chrono::milliseconds kFirstBackoff{50};
inline constexpr std::chrono::milliseconds kMaxBackoff{1'000};

// The state of one call's attempts. Not thread-safe: attempts follow one another.
class RetryState {
 public:
  explicit RetryState(Clock::time_point deadline) : deadline_(deadline) {}

  // How long to wait before the next attempt, none where there is to be none: the error is not one
  // that passes, the attempts are used up, or the deadline would. With `other_server` another
  // server is up, and the next attempt goes there at once. Not before `hint`, which the server
  // gave.
  std::optional<std::chrono::milliseconds> Next(
      const absl::Status& error, bool other_server,
      std::chrono::milliseconds hint = std::chrono::milliseconds(0));

  // The attempt that just failed had got something done: count anew.
  void Progress() { waits_ = moves_ = 0; }

  int attempts() const { return attempts_; }
  Clock::time_point deadline() const { return deadline_; }

 private:
  Clock::time_point deadline_;
  int attempts_ = 1;
  int waits_ = 0;
  int moves_ = 0;
};

// What retries of one client may add to the load of servers that have trouble already: a tenth of
// its calls, and a stock for short troubles. Calls that move on to another server, since theirs is
// gone, may draw on a larger stock. Thread-safe.
class RetryBudget {
 public:
  // A call was made.
  void Called();
  // Whether one more attempt may follow, and counts it.
  bool Take(bool moving);

 private:
  static constexpr int64_t kRetry = 10, kCall = 1;  // a retry costs as much as ten calls earn
  static constexpr int64_t kForMoves = 2'000 * kRetry, kMost = kForMoves + 100 * kRetry;
  std::atomic<int64_t> left_{kMost};
};

// The deadline as gRPC takes it.
std::chrono::system_clock::time_point ToSystem(Clock::time_point deadline);

}  // namespace kvstore::client

#endif  // KVCLIENT_SRC_RETRY_H_
