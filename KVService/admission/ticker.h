// Does something again and again while there is need.
#ifndef KVSERVICE_ADMISSION_TICKER_H_
#define KVSERVICE_ADMISSION_TICKER_H_

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace kvstore {

// Thread-safe. Has a thread of its own, which sleeps where there is no need.
class Ticker {
 public:
  // From Start on `tick` runs after each interval, until it returns false.
  Ticker(std::chrono::milliseconds interval, std::function<bool()> tick);
  ~Ticker();
  Ticker(const Ticker&) = delete;
  Ticker& operator=(const Ticker&) = delete;

  // Cheap where it ticks already.
  void Start();

 private:
  void Run();

  const std::chrono::milliseconds interval_;
  const std::function<bool()> tick_;
  // Not absl's: its timed waits follow the wall clock, which jumps.
  std::mutex mutex_;
  std::condition_variable changed_;
  bool wanted_ = false;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace kvstore

#endif  // KVSERVICE_ADMISSION_TICKER_H_
