#include "KVService/defaults.h"

#include <filesystem>

#include "KVService/platform/machine.h"

namespace kvstore {
namespace {

// Of the index and the Bloom filter together.
constexpr uint64_t kIndexBytesABlock = 100;

}  // namespace

uint64_t DefaultCapacityBytes(const std::string& directory) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  const std::filesystem::space_info space = std::filesystem::space(directory, error);
  if (error) return 0;  // opening the store will say what is wrong
  return (space.available + AllocatedBytes(directory)) / 10 * 8;
}

uint64_t DefaultMemoryBytes() { return TotalMemoryBytes() / 4; }

uint64_t DefaultIndexBlocks() { return TotalMemoryBytes() / 8 / kIndexBytesABlock; }

}  // namespace kvstore
