// Waiting to be told to stop: SIGINT and SIGTERM here.
#ifndef KVSERVICE_PLATFORM_STOP_SIGNAL_H_
#define KVSERVICE_PLATFORM_STOP_SIGNAL_H_

#include <string>

namespace kvstore {

// Takes the stop signals from this thread and every thread started after. Call first in main.
void HoldStopSignals();

// Blocks until one comes, and returns its name. From then on a second one ends the process at once,
// as it would by default. REQUIRES: HoldStopSignals, in this thread or the one that started it.
std::string WaitForStopSignal();

}  // namespace kvstore

#endif  // KVSERVICE_PLATFORM_STOP_SIGNAL_H_
