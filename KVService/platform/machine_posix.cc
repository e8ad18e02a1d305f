#include <sys/resource.h>
#include <unistd.h>

#include "KVService/platform/machine.h"

namespace kvstore {

uint64_t TotalMemoryBytes() {
  const long pages = sysconf(_SC_PHYS_PAGES);
  const long size = sysconf(_SC_PAGESIZE);
  // Unknown is rare; 4 GiB is then a safe guess.
  if (pages <= 0 || size <= 0) return uint64_t{4} << 30;
  return static_cast<uint64_t>(pages) * static_cast<uint64_t>(size);
}

void RaiseOpenFileLimit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);  // without it the store says which file it could not open
}

bool HasWinHttp() { return false; }

}  // namespace kvstore
