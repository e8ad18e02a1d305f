#include "KVClient/src/retry.h"

#include <grpcpp/alarm.h>

#include <algorithm>
#include <memory>
#include <random>
#include <utility>

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
                                                          bool other_server) {
  if (error.code() != absl::StatusCode::kUnavailable &&
      error.code() != absl::StatusCode::kResourceExhausted) {
    return std::nullopt;
  }
  std::chrono::milliseconds delay{0};
  if (other_server && moves_ < static_cast<int>(kMaxServers)) {
    ++moves_;
  } else {
    if (waits_ + 1 >= kMaxAttempts) return std::nullopt;
    delay = FullJitter(waits_++);
  }
  if (Clock::now() + delay >= deadline_) return std::nullopt;
  ++attempts_;
  return delay;
}

void RunAfter(std::chrono::milliseconds delay, absl::AnyInvocable<void() &&> task) {
  auto alarm = std::make_shared<grpc::Alarm>();
  auto held = std::make_shared<absl::AnyInvocable<void() &&>>(std::move(task));
  grpc::Alarm& setting = *alarm;
  setting.Set(std::chrono::system_clock::now() + delay, [alarm, held](bool) mutable {
    // The alarm holds this function, which holds the alarm: end that here.
    const std::shared_ptr<grpc::Alarm> ending = std::move(alarm);
    std::move (*std::exchange(held, nullptr))();
  });
}

std::chrono::system_clock::time_point ToSystem(Clock::time_point deadline) {
  return std::chrono::system_clock::now() +
         std::chrono::duration_cast<std::chrono::system_clock::duration>(deadline - Clock::now());
}

}  // namespace kvstore::client
