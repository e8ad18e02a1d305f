// Memory that a caller owns and reuses, as an engine's pinned buffers.
#ifndef BENCHMARKS_DATAPLANE_MEMORY_H_
#define BENCHMARKS_DATAPLANE_MEMORY_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>

namespace kvstore::bench {

// `slots` pieces of `bytes` each, filled with what does not compress and touched so that no page
// fault is measured.
class Memory {
 public:
  Memory(size_t slots, size_t bytes) : bytes_(bytes), data_(new std::byte[slots * bytes]) {
    uint64_t state = 88172645463325252u;
    for (size_t at = 0; at < slots * bytes; at += sizeof state) {
      state ^= state << 13;
      state ^= state >> 7;
      state ^= state << 17;
      std::memcpy(data_.get() + at, &state, std::min(sizeof state, slots * bytes - at));
    }
  }

  std::span<std::byte> slot(size_t index) { return {data_.get() + index * bytes_, bytes_}; }

 private:
  size_t bytes_;
  std::unique_ptr<std::byte[]> data_;
};

}  // namespace kvstore::bench

#endif  // BENCHMARKS_DATAPLANE_MEMORY_H_
