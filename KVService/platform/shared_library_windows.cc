#include <windows.h>

#include "KVService/platform/shared_library.h"
#include "KVService/platform/windows_error.h"

namespace kvstore {

absl::Status LoadSharedLibrary(const char* name) {
  if (*name == '\0') {
    return absl::FailedPreconditionError("this build is linked statically, without that library");
  }
  // Beside the program or among the system's own, never where it happens to run.
  constexpr DWORD kWhere = LOAD_LIBRARY_SEARCH_APPLICATION_DIR | LOAD_LIBRARY_SEARCH_SYSTEM32;
  if (LoadLibraryExW(windows::Wide(name).c_str(), nullptr, kWhere) != nullptr) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(std::string(name) + ": " + windows::LastReason());
}

}  // namespace kvstore
