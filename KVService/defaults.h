// What options mean by default that follow the machine.
#ifndef KVSERVICE_DEFAULTS_H_
#define KVSERVICE_DEFAULTS_H_

#include <cstdint>
#include <string>

namespace kvstore {

// Of a store's disk: most of what the file system could give, which is what is free and what the
// directory, made if missing, has already. 0 where that is not known.
uint64_t DefaultCapacityBytes(const std::string& directory);

// Of RAM.
uint64_t DefaultMemoryBytes();

// That the index of a shared store holds.
uint64_t DefaultIndexBlocks();

}  // namespace kvstore

#endif  // KVSERVICE_DEFAULTS_H_
