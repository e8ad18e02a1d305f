#include "KVClient/src/logger.h"

#include <cstdio>
#include <utility>

namespace kvstore::client {

void Logger::SetCallback(Callback callback) {
  std::shared_ptr<const Callback> next;
  if (callback) next = std::make_shared<const Callback>(std::move(callback));
  absl::MutexLock lock(&mutex_);
  callback_ = std::move(next);
}

void Logger::Log(LogLevel level, std::string message) const {
  if (!Wants(level)) return;
  for (char& c : message) {
    if (c == '\n' || c == '\r') c = ' ';
  }
  std::shared_ptr<const Callback> callback;
  {
    absl::MutexLock lock(&mutex_);
    callback = callback_;
  }
  if (callback != nullptr) return (*callback)(level, message);
  static constexpr const char* kNames[] = {"error", "info", "verbose"};
  std::fprintf(stderr, "KVClient %s: %s\n", kNames[static_cast<int>(level)], message.c_str());
}

}  // namespace kvstore::client
