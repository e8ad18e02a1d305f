#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spdlog/fmt/fmt.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "KVCommon/status_macros.h"
#include "KVService/platform/children.h"

extern char** environ;

namespace kvstore {
namespace {

constexpr char kReadyVariable[] = "KVSTORE_READY_FD";
constexpr absl::Duration kLongestPoll = absl::Hours(1);
constexpr int kCannotRun = 127;  // as a shell says it

int NumberOf(ChildSignal signal) {
  switch (signal) {
    case ChildSignal::kInterrupt:
      return SIGINT;
    case ChildSignal::kTerminate:
      return SIGTERM;
    case ChildSignal::kReload:
      return SIGHUP;
    case ChildSignal::kKill:
      return SIGKILL;
  }
  return SIGTERM;
}

sigset_t WatchedSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGCHLD}) sigaddset(&set, signal);
  return set;
}

// What exec wants; the strings outlive it.
std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (const std::string& string : strings) pointers.push_back(const_cast<char*>(string.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

std::vector<std::string> EnvironmentWith(const char* variable, int value) {
  const std::string name = std::string(variable) + "=";
  std::vector<std::string> all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (!std::string_view(*entry).starts_with(name)) all.emplace_back(*entry);
  }
  all.push_back(name + std::to_string(value));
  return all;
}

// In the new process, where nothing may be called that takes a lock: other threads' are held for
// ever.
[[noreturn]] void Become(char** command, char** environment, int output, int errors, int ready,
                         pid_t parent) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) _exit(kCannotRun);  // it ended before it could be told of
  // What this process ignores, be it that a shell's background has it so, the program would, too;
  // before it takes those that came meanwhile.
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) signal(number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  if (dup2(output, STDOUT_FILENO) < 0 || dup2(errors, STDERR_FILENO) < 0) _exit(kCannotRun);
  fcntl(ready, F_SETFD, 0);
  execve(command[0], command, environment);
  constexpr std::string_view kFailed = "the program cannot be run\n";
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, kFailed.data(), kFailed.size());
  _exit(kCannotRun);
}

void Close(int& descriptor) {
  if (descriptor >= 0) close(descriptor);
  descriptor = -1;
}

}  // namespace

Children::Children() {
  const sigset_t set = WatchedSignals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signal(SIGCHLD, SIG_DFL);  // ignored, as it may have been inherited, nobody could be waited for
  signals_ = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  KV_CHECK(signals_ >= 0);
}

Children::~Children() {
  for (auto& [child, ready] : ready_) Close(ready);
  close(signals_);
}

absl::StatusOr<int> Children::Start(const std::vector<std::string>& command, PrefixedOutput& output,
                                    PrefixedOutput& errors) {
  int ready[2];
  if (pipe2(ready, O_CLOEXEC) != 0) {
    return absl::ResourceExhaustedError(fmt::format("cannot make a pipe: {}", strerror(errno)));
  }
  const std::vector<std::string> environment = EnvironmentWith(kReadyVariable, ready[1]);
  const std::vector<char*> arguments = Pointers(command), variables = Pointers(environment);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child == 0) {
    Become(const_cast<char**>(arguments.data()), const_cast<char**>(variables.data()),
           output.descriptor(), errors.descriptor(), ready[1], parent);
  }
  const int error = errno;
  Close(ready[1]);
  if (child < 0) {
    Close(ready[0]);
    return absl::ResourceExhaustedError(fmt::format("cannot start a process: {}", strerror(error)));
  }
  ready_[child] = ready[0];
  return child;
}

void Children::Signal(int child, ChildSignal signal) {
  KV_CHECK(ready_.contains(child));
  kill(child, NumberOf(signal));
}

bool Children::TakeEnded(ChildEvent& event) {
  for (auto& [child, ready] : ready_) {
    int status = 0;
    if (waitpid(child, &status, WNOHANG) != child) continue;
    event.kind = ChildEvent::Kind::kEnded;
    event.child = child;
    event.clean = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    event.how = WIFEXITED(status) ? fmt::format("exit code {}", WEXITSTATUS(status))
                                  : fmt::format("signal {}", WTERMSIG(status));
    Close(ready);
    ready_.erase(child);
    return true;
  }
  return false;
}

bool Children::TakeSignal(ChildEvent& event) {
  signalfd_siginfo info;
  while (read(signals_, &info, sizeof info) == sizeof info) {
    if (info.ssi_signo == SIGCHLD) continue;
    event.kind = ChildEvent::Kind::kSignalled;
    event.signal = info.ssi_signo == SIGHUP   ? ChildSignal::kReload
                   : info.ssi_signo == SIGINT ? ChildSignal::kInterrupt
                                              : ChildSignal::kTerminate;
    return true;
  }
  return false;
}

ChildEvent Children::Wait(absl::Time until) {
  ChildEvent event;
  for (;;) {
    // What is to be told of children comes after the signal that there is something.
    if (TakeSignal(event) || TakeEnded(event)) return event;
    std::vector<pollfd> descriptors = {{signals_, POLLIN, 0}};
    std::vector<int> children = {0};
    for (const auto& [child, ready] : ready_) {
      if (ready < 0) continue;
      descriptors.push_back({ready, POLLIN, 0});
      children.push_back(child);
    }
    const absl::Duration left = until - absl::Now();
    if (left <= absl::ZeroDuration()) return event;
    // Rounded up, so that it is never too early and asks again and again.
    const int64_t patience = absl::ToInt64Milliseconds(std::min(left, kLongestPoll)) + 1;
    const int found = poll(descriptors.data(), descriptors.size(), static_cast<int>(patience));
    if (found <= 0) continue;
    for (size_t i = 1; i < descriptors.size(); ++i) {
      if (descriptors[i].revents == 0) continue;
      char byte = 0;
      const bool told = read(descriptors[i].fd, &byte, 1) == 1;
      Close(ready_[children[i]]);
      if (!told) continue;  // it ended, or has nothing to tell
      event.kind = ChildEvent::Kind::kReady;
      event.child = children[i];
      return event;
    }
  }
}

void TellParentReady() {
  const char* const text = std::getenv(kReadyVariable);
  if (text == nullptr) return;
  int descriptor = -1;
  std::from_chars(text, text + std::strlen(text), descriptor);
  unsetenv(kReadyVariable);
  if (descriptor <= STDERR_FILENO) return;
  [[maybe_unused]] const ssize_t written = write(descriptor, "1", 1);
  close(descriptor);
}

std::string OwnProgram() {
  char path[PATH_MAX];
  const ssize_t size = readlink("/proc/self/exe", path, sizeof path);
  return size > 0 && size < PATH_MAX ? std::string(path, static_cast<size_t>(size)) : "";
}

}  // namespace kvstore
