#include <pthread.h>
#include <signal.h>

#include "KVService/platform/stop_signal.h"

namespace kvstore {
namespace {

sigset_t StopSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGHUP);
  return set;
}

}  // namespace

void HoldStopSignals() {
  const sigset_t set = StopSignals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  // A peer or a console that goes away is an error of its write, not the end of the process.
  signal(SIGPIPE, SIG_IGN);
}

std::string WaitForStopSignal(const std::function<void()>& reload) {
  const sigset_t set = StopSignals();
  int signal = 0;
  while (sigwait(&set, &signal) != 0 || signal == SIGHUP) {
    if (signal == SIGHUP) reload();
  }
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  return signal == SIGINT ? "SIGINT" : "SIGTERM";
}

}  // namespace kvstore
