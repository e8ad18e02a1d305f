#ifndef KVSERVICE_PLATFORM_SHARED_LIBRARY_H_
#define KVSERVICE_PLATFORM_SHARED_LIBRARY_H_

#include "absl/status/status.h"

namespace kvstore {

// Loads a shared library for the rest of the process's life, for what its start-up code does.
// FAILED_PRECONDITION, with the system's reason, where it cannot be.
absl::Status LoadSharedLibrary(const char* name);

}  // namespace kvstore

#endif  // KVSERVICE_PLATFORM_SHARED_LIBRARY_H_
