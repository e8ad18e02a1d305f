// How many processors there are to run on: what every number of threads follows.
#ifndef KVCOMMON_PROCESSORS_H_
#define KVCOMMON_PROCESSORS_H_

#include <cstddef>

namespace kvstore {

// Those that the calling thread may run on, and so every thread that it starts; at least 1. Less
// than std::thread::hardware_concurrency where a process was pinned to a NUMA node, or confined by
// taskset or a container's CPU set.
size_t UsableProcessors();

}  // namespace kvstore

#endif  // KVCOMMON_PROCESSORS_H_
