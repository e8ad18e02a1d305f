#include <algorithm>
#include <thread>

#include "KVCommon/processors.h"

#if defined(__linux__)
#include <sched.h>
#endif

namespace kvstore {

size_t UsableProcessors() {
#if defined(__linux__)
  // The system refuses a set that is smaller than its own, whose size it does not tell.
  constexpr int kMostCpus = 1 << 16;
  for (int cpus = CPU_SETSIZE; cpus <= kMostCpus; cpus *= 2) {
    cpu_set_t* set = CPU_ALLOC(cpus);
    if (set == nullptr) break;
    const size_t bytes = CPU_ALLOC_SIZE(cpus);
    const bool known = sched_getaffinity(0, bytes, set) == 0;
    const int count = known ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (count > 0) return static_cast<size_t>(count);
  }
#endif
  return std::max(1u, std::thread::hardware_concurrency());
}

}  // namespace kvstore
