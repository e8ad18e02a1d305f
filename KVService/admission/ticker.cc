#include "KVService/admission/ticker.h"

#include <utility>

namespace kvstore {

Ticker::Ticker(std::chrono::milliseconds interval, std::function<bool()> tick)
    : interval_(interval), tick_(std::move(tick)), thread_([this] { Run(); }) {}

Ticker::~Ticker() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void Ticker::Start() {
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(wanted_, true)) return;
  }
  changed_.notify_one();
}

void Ticker::Run() {
  std::unique_lock lock(mutex_);
  while (!ending_) {
    if (!wanted_) {
      changed_.wait(lock);
      continue;
    }
    changed_.wait_for(lock, interval_, [this] { return ending_; });
    if (ending_) return;
    // A Start from here on is for the next tick.
    wanted_ = false;
    lock.unlock();
    const bool more = tick_();
    lock.lock();
    wanted_ |= more;
  }
}

}  // namespace kvstore
