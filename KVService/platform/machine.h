// What this machine has.
#ifndef KVSERVICE_PLATFORM_MACHINE_H_
#define KVSERVICE_PLATFORM_MACHINE_H_

#include <cstdint>

namespace kvstore {

// Of RAM; never 0.
uint64_t TotalMemoryBytes();

// Raises this process's limit of open files to what the system lets it: the local store keeps every
// segment open, about 4,000 a TiB.
void RaiseOpenFileLimit();

// Whether the system brings WinHTTP.
bool HasWinHttp();

}  // namespace kvstore

#endif  // KVSERVICE_PLATFORM_MACHINE_H_
