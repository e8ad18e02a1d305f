#include "KVClient/src/load_estimator.h"

#include <algorithm>

namespace kvstore::client {
namespace {

// A stretch of reads ends with the last of them, or where it has enough to go by.
constexpr uint64_t kStretchBytes = 32u << 20;

}  // namespace

void LoadEstimator::RoundTrip(Duration network) {
  const auto sample = static_cast<double>(std::max<int64_t>(network.count(), 1));
  absl::MutexLock lock(&mutex_);
  // What a call waited behind others is not the network's: down at once, up slowly.
  const bool down = round_trip_us_ == 0 || sample < round_trip_us_;
  round_trip_us_ = down ? sample : round_trip_us_ + (sample - round_trip_us_) / 32;
}

void LoadEstimator::ReadsBegin(Duration now, size_t count) {
  absl::MutexLock lock(&mutex_);
  const bool more = reading_ > 0;
  reading_ += count;
  if (more) return;
  since_ = now;
  stretch_ram_ = stretch_below_ = 0;
}

void LoadEstimator::ReadEnds(Duration now, size_t bytes, bool from_below) {
  absl::MutexLock lock(&mutex_);
  (from_below ? stretch_below_ : stretch_ram_) += bytes;
  const uint64_t total = stretch_ram_ + stretch_below_;
  if (--reading_ > 0 && total < kStretchBytes) return;
  // The first of them was on its way for a round trip before anything came.
  const double elapsed = static_cast<double>((now - since_).count()) - round_trip_us_;
  if (total > 0) {
    const double rate = static_cast<double>(total) / std::max(elapsed, 1.0);
    // A mixed stretch goes at the pace of its slower part.
    (stretch_below_ > stretch_ram_ ? below_ : in_ram_).Add(rate);
  }
  since_ = now;
  stretch_ram_ = stretch_below_ = 0;
}

std::optional<LoadEstimator::Duration> LoadEstimator::Estimate(uint64_t bytes_in_ram,
                                                               uint64_t bytes_below) const {
  absl::MutexLock lock(&mutex_);
  const double ram = in_ram_.value > 0 ? in_ram_.value : below_.value;
  const double below = below_.value > 0 ? below_.value : in_ram_.value;
  if (ram == 0) return std::nullopt;
  const double us = round_trip_us_ + static_cast<double>(bytes_in_ram) / ram +
                    static_cast<double>(bytes_below) / below;
  return Duration(static_cast<int64_t>(us));
}

}  // namespace kvstore::client
