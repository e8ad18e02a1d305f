#include <fcntl.h>
#include <io.h>
#include <spdlog/fmt/fmt.h>

#include <cerrno>
#include <cstring>
#include <thread>
#include <vector>

#include "KVService/platform/prefixed_output.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"

namespace kvstore {
namespace {

constexpr unsigned kPipeBytes = 64 << 10;

// One for each console, so that what a thread writes stays together. Never destroyed: a thread may
// wait in a write for ever.
absl::Mutex& MutexOf(int console) {
  static auto* const mutexes = new absl::Mutex[3];
  return mutexes[console];
}

void WriteAll(int console, std::string_view text) {
  absl::MutexLock lock(&MutexOf(console));
  while (!text.empty()) {
    const int written = _write(console, text.data(), static_cast<unsigned>(text.size()));
    if (written <= 0) return;
    text.remove_prefix(static_cast<size_t>(written));
  }
}

}  // namespace

struct PrefixedOutput::Pump {
  Pump(int from, int console, std::string prefix)
      : from(from), console(console), prefixer(std::move(prefix)) {}
  ~Pump() { _close(from); }

  void Run() {
    std::vector<char> piece(kPipeBytes);
    for (;;) {
      const int got = _read(from, piece.data(), kPipeBytes);
      if (got <= 0) break;
      std::string lines;
      prefixer.Add({piece.data(), static_cast<size_t>(got)}, lines);
      WriteAll(console, lines);
    }
    std::string rest;
    prefixer.End(rest);
    WriteAll(console, rest);
    done.Notify();
  }

  const int from, console;
  LinePrefixer prefixer;
  absl::Notification done;
};

absl::StatusOr<std::unique_ptr<PrefixedOutput>> PrefixedOutput::Open(Console console,
                                                                     std::string prefix) {
  int ends[2];
  // Programs get theirs by Children::Start; no other one shall hold it open.
  if (_pipe(ends, kPipeBytes, _O_BINARY | _O_NOINHERIT) != 0) {
    return absl::ResourceExhaustedError(fmt::format("cannot make a pipe: {}", strerror(errno)));
  }
  auto pump = std::make_shared<Pump>(ends[0], static_cast<int>(console), std::move(prefix));
  std::thread([pump] { pump->Run(); }).detach();
  return std::unique_ptr<PrefixedOutput>(new PrefixedOutput(ends[1], std::move(pump)));
}

PrefixedOutput::PrefixedOutput(int descriptor, std::shared_ptr<Pump> pump)
    : descriptor_(descriptor), pump_(std::move(pump)) {}

PrefixedOutput::~PrefixedOutput() { Finish(absl::ZeroDuration()); }

bool PrefixedOutput::Finish(absl::Duration patience) {
  if (descriptor_ >= 0) _close(descriptor_);
  descriptor_ = -1;
  return pump_->done.WaitForNotificationWithTimeout(patience);
}

}  // namespace kvstore
