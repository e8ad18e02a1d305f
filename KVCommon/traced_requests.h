// The requests that are made elsewhere for a call whose spans are kept: each becomes one of them.
#ifndef KVCOMMON_TRACED_REQUESTS_H_
#define KVCOMMON_TRACED_REQUESTS_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "KVCommon/trace_context.h"
#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace kvstore {

struct TracedRequest {
  SpanId span{};            // that the asked one was told
  std::string_view method;  // of HTTP; static storage
  std::string host;
  uint16_t port = 0;    // 0: not known
  int status = 0;       // of HTTP; 0: no answer
  int attempt = 1;      // 1, 2… of the same request
  int64_t from_us = 0;  // since the call came
  int64_t until_us = 0;
};

// Thread-safe. Of a call that has just come.
class TracedRequests {
 public:
  static constexpr size_t kMost = 128;

  int64_t now_us() const {
    return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() -
                                                                 came_)
        .count();
  }

  // Beyond kMost it is only counted.
  void Add(TracedRequest request) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    if (requests_.size() < kMost) {
      requests_.push_back(std::move(request));
    } else {
      ++left_out_;
    }
  }

  // Those that have ended.
  std::vector<TracedRequest> requests() const ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    return requests_;
  }
  int64_t left_out() const ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    return left_out_;
  }

 private:
  const std::chrono::steady_clock::time_point came_ = std::chrono::steady_clock::now();
  mutable absl::Mutex mutex_;
  std::vector<TracedRequest> requests_ ABSL_GUARDED_BY(mutex_);
  int64_t left_out_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace kvstore

#endif  // KVCOMMON_TRACED_REQUESTS_H_
