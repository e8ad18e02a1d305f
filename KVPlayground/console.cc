#include "KVPlayground/console.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <cstdio>

#if defined(_WIN32)
#include <io.h>
#else
#include <unistd.h>
#endif

namespace kvstore::playground {

void Console::Log(LogLevel level, const std::string& line) {
  if (!Shows(level)) return;
  std::lock_guard lock(mu_);
  Clear();
  stream_ << line << '\n' << std::flush;
}

void Console::Progress(uint64_t done, uint64_t total, const std::string& note) {
  if (!bar_ || total == 0) return;
  std::lock_guard lock(mu_);
  const auto now = std::chrono::steady_clock::now();
  if (now - last_draw_ < std::chrono::milliseconds(100) && done < total) return;
  last_draw_ = now;
  constexpr size_t kWidth = 30;
  const size_t filled = std::min<uint64_t>(kWidth, done * kWidth / total);
  const std::string line = fmt::format("[{}{}] {}/{} {}", std::string(filled, '#'),
                                       std::string(kWidth - filled, '.'), done, total, note);
  // Spaces cover what a longer line left behind.
  stream_ << '\r' << line << std::string(drawn_ > line.size() ? drawn_ - line.size() : 0, ' ')
          << std::flush;
  drawn_ = line.size();
}

void Console::EndProgress() {
  std::lock_guard lock(mu_);
  Clear();
}

void Console::Clear() {
  if (drawn_ == 0) return;
  stream_ << '\r' << std::string(drawn_, ' ') << '\r' << std::flush;
  drawn_ = 0;
}

bool StandardErrorIsTerminal() {
#if defined(_WIN32)
  return _isatty(_fileno(stderr)) != 0;
#else
  return isatty(STDERR_FILENO) != 0;
#endif
}

}  // namespace kvstore::playground
