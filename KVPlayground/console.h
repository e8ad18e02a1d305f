// Log lines and the progress bar, both on one stream that belongs to people (standard error).
#ifndef KVPLAYGROUND_CONSOLE_H_
#define KVPLAYGROUND_CONSOLE_H_

#include <chrono>
#include <cstdint>
#include <mutex>
#include <ostream>
#include <string>

#include "KVTypes.h"

namespace kvstore::playground {

// Thread-safe.
class Console {
 public:
  // Lines less important than `level` are dropped. `bar`: draw a progress bar, for which the stream
  // must be a terminal.
  Console(std::ostream& stream, LogLevel level, bool bar)
      : stream_(stream), level_(level), bar_(bar) {}
  ~Console() { EndProgress(); }

  bool Shows(LogLevel level) const { return level <= level_; }
  void Log(LogLevel level, const std::string& line);

  // Draws the bar, at most ten times a second.
  void Progress(uint64_t done, uint64_t total, const std::string& note);
  // Clears the bar.
  void EndProgress();

 private:
  void Clear();

  std::ostream& stream_;
  const LogLevel level_;
  const bool bar_;
  std::mutex mu_;
  size_t drawn_ = 0;                                 // characters on the line; guarded by mu_
  std::chrono::steady_clock::time_point last_draw_;  // guarded by mu_
};

// Whether standard error is a terminal.
bool StandardErrorIsTerminal();

}  // namespace kvstore::playground

#endif  // KVPLAYGROUND_CONSOLE_H_
