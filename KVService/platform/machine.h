// What this machine has.
#ifndef KVSERVICE_PLATFORM_MACHINE_H_
#define KVSERVICE_PLATFORM_MACHINE_H_

#include <cstdint>

namespace kvstore {

// Of RAM; never 0.
uint64_t TotalMemoryBytes();

}  // namespace kvstore

#endif  // KVSERVICE_PLATFORM_MACHINE_H_
