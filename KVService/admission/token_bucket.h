// A rate: what may be taken grows with time, up to a second's worth.
#ifndef KVSERVICE_ADMISSION_TOKEN_BUCKET_H_
#define KVSERVICE_ADMISSION_TOKEN_BUCKET_H_

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace kvstore {

// Not thread-safe. Starts full. What is taken may be more than is there: the debt is waited for by
// those who come next, since what a call moves is known only when it has moved.
class TokenBucket {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // Another rate leaves what was taken as it is. REQUIRES: above 0.
  void SetRate(int64_t a_second, Time now) {
    const auto rate = static_cast<double>(a_second);
    if (rate == rate_) return;
    Fill(now);
    level_ = rate_ == 0 ? rate : std::min(level_, rate);
    rate_ = rate;
    filled_ = now;
  }

  // How long until anything may be taken; 0: now. REQUIRES: SetRate.
  std::chrono::milliseconds Wait(Time now) {
    Fill(now);
    if (level_ > 0) return std::chrono::milliseconds(0);
    return std::chrono::milliseconds(1 + static_cast<int64_t>(-level_ / rate_ * 1e3));
  }

  void Take(int64_t amount, Time now) {
    Fill(now);
    level_ -= static_cast<double>(amount);
  }

  // Whether it is as if it had never been used.
  bool Full(Time now) {
    Fill(now);
    return level_ >= rate_;
  }

 private:
  void Fill(Time now) {
    if (now <= filled_) return;
    level_ = std::min(rate_, level_ + rate_ * std::chrono::duration<double>(now - filled_).count());
    filled_ = now;
  }

  double rate_ = 0;
  double level_ = 0;
  Time filled_{};
};

}  // namespace kvstore

#endif  // KVSERVICE_ADMISSION_TOKEN_BUCKET_H_
