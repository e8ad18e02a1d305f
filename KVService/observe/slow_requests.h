// The slowest calls of late, with the time that each spent where; and a log line for each that took
// longer than a bound.
#ifndef KVSERVICE_OBSERVE_SLOW_REQUESTS_H_
#define KVSERVICE_OBSERVE_SLOW_REQUESTS_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "KVService/observe/rpc_record.h"
#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace kvstore {

struct SlowRequest {
  absl::Time ended;
  std::string_view rpc;
  std::string_view code;
  int64_t total_us = 0;  // until gRPC had taken the answer
  RpcStages stages;
  int64_t blocks = 0;
  int64_t bytes = 0;
  std::string identity;  // at most kMaxIdentityBytes of it
  std::string request_id;
};

// Thread-safe. A call that is quicker than all in the full list costs one comparison.
class SlowRequests {
 public:
  static constexpr size_t kKept = 20;
  static constexpr absl::Duration kRemembered = absl::Minutes(15);
  static constexpr size_t kMaxIdentityBytes = 64;
  // Of log lines; what is beyond is counted, and the count logged with a later one or by Expire.
  static constexpr int kLinesASecond = 50;

  // Calls of `log_from` or more are logged; 0: none.
  explicit SlowRequests(std::chrono::milliseconds log_from = {}) : log_from_us_(log_from) {}

  // Whether Ended would do anything with a call of that time.
  bool Wants(int64_t total_us) const {
    return total_us > least_us_.load(std::memory_order_relaxed) || IsLogged(total_us);
  }

  // A call that is over, its answer's sending included. `record` must name a method and a code of
  // static storage.
  void Ended(const RpcRecord& record, int64_t total_us) {
    if (total_us > least_us_.load(std::memory_order_relaxed)) Keep(record, total_us);
    if (IsLogged(total_us)) Log(record, total_us);
  }

  // Forgets what is older than kRemembered; to be called now and then.
  void Expire(absl::Time now);

  // Slowest first.
  std::vector<SlowRequest> List() const;

 private:
  bool IsLogged(int64_t total_us) const {
    return log_from_us_.count() > 0 && total_us >= log_from_us_.count();
  }
  void Keep(const RpcRecord& record, int64_t total_us);
  void Log(const RpcRecord& record, int64_t total_us);
  void LogUnlogged();
  void SetLeast() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::chrono::microseconds log_from_us_;
  std::atomic<int64_t> least_us_ = -1;  // of the list, once it is full; before it all are slower
  mutable absl::Mutex mutex_;
  std::vector<SlowRequest> list_ ABSL_GUARDED_BY(mutex_);  // slowest first

  std::atomic<int64_t> lines_second_ = 0;  // in which lines_ were written
  std::atomic<int> lines_ = 0;
  std::atomic<int64_t> unlogged_ = 0;
};

}  // namespace kvstore

#endif  // KVSERVICE_OBSERVE_SLOW_REQUESTS_H_
