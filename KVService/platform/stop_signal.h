// Waiting to be told to stop, or to read the configuration again: SIGINT and SIGTERM, and SIGHUP,
// here.
#ifndef KVSERVICE_PLATFORM_STOP_SIGNAL_H_
#define KVSERVICE_PLATFORM_STOP_SIGNAL_H_

#include <functional>
#include <string>

namespace kvstore {

// Takes the stop signals from this thread and every thread started after. Call first in main.
void HoldStopSignals();

// Blocks until one to stop comes, and returns its name. From then on a second one ends the process at
// once, as it would by default. Until then runs `reload` for each that says so, on this thread.
// REQUIRES: HoldStopSignals, in this thread or the one that started it.
std::string WaitForStopSignal(const std::function<void()>& reload);

}  // namespace kvstore

#endif  // KVSERVICE_PLATFORM_STOP_SIGNAL_H_
