// This program as a service of the system, started and stopped by it: Windows'. Elsewhere the
// service manager needs nothing of the program, and these refuse.
#ifndef KVSERVICE_PLATFORM_SERVICE_H_
#define KVSERVICE_PLATFORM_SERVICE_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace kvstore {

bool HasServices();

// Has the system start this very program with these arguments, now on at each start of the machine,
// and again where it fails. The service has an account of its own, "NT SERVICE\NAME", which needs
// access to the files that the arguments name. ALREADY_EXISTS; PERMISSION_DENIED where the caller
// is no administrator.
absl::Status InstallService(const std::string& name, const std::vector<std::string>& arguments);

// Stops it first. NOT_FOUND; PERMISSION_DENIED.
absl::Status RemoveService(const std::string& name);

// For the process that the system started: runs `body` as the service's work, on another thread,
// and returns its exit code. A stop, or the machine's shutdown, comes as a stop signal
// (stop_signal.h), which REQUIRES HoldStopSignals before. There is no console: what goes to
// standard error is in LogOfService, and what goes to standard output nowhere. Relative paths are
// the program's folder's. FAILED_PRECONDITION where nobody but the user started it.
absl::StatusOr<int> RunService(const std::string& name, std::function<int()> body);

// Where a service's log is, such as C:\ProgramData\KVStore\NAME.log. What was there when it grew
// beyond 64 MiB is NAME.log.1 from the next start on.
std::string LogOfService(const std::string& name);

}  // namespace kvstore

#endif  // KVSERVICE_PLATFORM_SERVICE_H_
