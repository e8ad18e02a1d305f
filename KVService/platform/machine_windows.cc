#include <windows.h>

#include <filesystem>
#include <system_error>

#include "KVService/platform/machine.h"
#include "KVService/platform/windows_error.h"

namespace kvstore {

uint64_t TotalMemoryBytes() {
  MEMORYSTATUSEX status = {};
  status.dwLength = sizeof status;
  // Unknown is rare; 4 GiB is then a safe guess.
  if (!GlobalMemoryStatusEx(&status) || status.ullTotalPhys == 0) return uint64_t{4} << 30;
  return status.ullTotalPhys;
}

uint64_t AllocatedBytes(const std::string& directory) {
  uint64_t bytes = 0;
  std::error_code error;
  for (std::filesystem::recursive_directory_iterator it(windows::PathOf(directory), error), end;
       !error && it != end; it.increment(error)) {
    std::error_code unknown;
    if (!it->is_regular_file(unknown)) continue;
    DWORD high = 0;
    SetLastError(NO_ERROR);
    const DWORD low = GetCompressedFileSizeW(it->path().c_str(), &high);
    if (low == INVALID_FILE_SIZE && GetLastError() != NO_ERROR) continue;
    bytes += uint64_t{high} << 32 | low;
  }
  return bytes;
}

// Windows bounds a process's files by its memory alone.
void RaiseOpenFileLimit() {}

void LowerThreadPriority() { SetThreadPriority(GetCurrentThread(), THREAD_MODE_BACKGROUND_BEGIN); }

std::string HostName() {
  char name[256] = {};
  DWORD size = sizeof name;
  return GetComputerNameExA(ComputerNameDnsHostname, name, &size) ? name : "";
}

// The system does; this build does not use it yet.
}  // namespace kvstore
