// What this machine has.
#ifndef KVSERVICE_PLATFORM_MACHINE_H_
#define KVSERVICE_PLATFORM_MACHINE_H_

#include <cstdint>
#include <string>

namespace kvstore {

// Of RAM; never 0.
uint64_t TotalMemoryBytes();

// What the files below a directory take of the disk: holes do not count. 0 where there is none.
uint64_t AllocatedBytes(const std::string& directory);

// Raises this process's limit of open files to what the system lets it: the local store keeps every
// segment open, about 4,000 a TiB, and twice those that it reads from.
void RaiseOpenFileLimit();

// The calling thread gets processors and disk when nobody else wants them, where the system has
// such a thing.
void LowerThreadPriority();

// By which the network may know it; empty where the system does not say.
std::string HostName();

}  // namespace kvstore

#endif  // KVSERVICE_PLATFORM_MACHINE_H_
