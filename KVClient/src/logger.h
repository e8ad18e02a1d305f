// Where the compatible class's log lines go: standard error, or the caller's function.
#ifndef KVCLIENT_SRC_LOGGER_H_
#define KVCLIENT_SRC_LOGGER_H_

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "KVClient/include/KVTypes.h"
#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace kvstore::client {

// Thread-safe.
class Logger {
 public:
  using Callback = std::function<void(LogLevel, const std::string&)>;

  void SetCallback(Callback callback);
  void SetLevel(LogLevel level) { level_.store(level, std::memory_order_relaxed); }

  bool Wants(LogLevel level) const { return level <= level_.load(std::memory_order_relaxed); }

  // One line an event, whatever the message holds.
  void Log(LogLevel level, std::string message) const;

 private:
  std::atomic<LogLevel> level_{LogLevel::Information};
  mutable absl::Mutex mutex_;
  std::shared_ptr<const Callback> callback_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace kvstore::client

#endif  // KVCLIENT_SRC_LOGGER_H_
