#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>

#include "KVService/platform/machine.h"

namespace kvstore {

uint64_t TotalMemoryBytes() {
  const long pages = sysconf(_SC_PHYS_PAGES);
  const long size = sysconf(_SC_PAGESIZE);
  // Unknown is rare; 4 GiB is then a safe guess.
  if (pages <= 0 || size <= 0) return uint64_t{4} << 30;
  return static_cast<uint64_t>(pages) * static_cast<uint64_t>(size);
}

uint64_t AllocatedBytes(const std::string& directory) {
  uint64_t bytes = 0;
  std::error_code error;
  for (std::filesystem::recursive_directory_iterator it(directory, error), end; !error && it != end;
       it.increment(error)) {
    struct stat status;
    constexpr uint64_t kStatBlock = 512;  // POSIX leaves it open; Linux does not
    if (lstat(it->path().c_str(), &status) == 0 && S_ISREG(status.st_mode)) {
      bytes += static_cast<uint64_t>(status.st_blocks) * kStatBlock;
    }
  }
  return bytes;
}

void RaiseOpenFileLimit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);  // without it the store says which file it could not open
}

void LowerThreadPriority() {
#if defined(__linux__)
  // Linux has both for each thread. Where it refuses, the thread is as others are.
  constexpr int kLeastNice = 19;
  setpriority(PRIO_PROCESS, static_cast<id_t>(::syscall(SYS_gettid)), kLeastNice);
  constexpr int kOfProcess = 1, kIdleClass = 3, kClassShift = 13;  // linux/ioprio.h
  ::syscall(SYS_ioprio_set, kOfProcess, 0, kIdleClass << kClassShift);
#endif
}

std::string HostName() {
  char name[256] = {};  // zeros behind what is cut
  return gethostname(name, sizeof name - 1) == 0 ? name : "";
}

}  // namespace kvstore
