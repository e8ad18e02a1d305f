// Memory that a caller owns and reuses, as an engine's pinned buffers: large pages, there from the
// start, since first touches would otherwise be most of what is measured.
#ifndef BENCHMARKS_DATAPLANE_MEMORY_H_
#define BENCHMARKS_DATAPLANE_MEMORY_H_

#include <cstddef>
#include <span>

namespace kvstore::bench {

// `slots` pieces of `bytes` each, filled with what does not compress.
class Memory {
 public:
  Memory(size_t slots, size_t bytes);
  ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  // The first begins at a page's boundary.
  std::span<std::byte> slot(size_t index) { return {data_ + index * bytes_, bytes_}; }

 private:
  size_t bytes_;
  size_t mapped_bytes_;
  std::byte* mapped_;
  std::byte* data_;  // within what is mapped, at a large page's boundary
};

// Has malloc own so much memory that is there already, as in a process that has run for a while.
// For the start of main: all threads share it.
void WarmHeap(size_t bytes);

}  // namespace kvstore::bench

#endif  // BENCHMARKS_DATAPLANE_MEMORY_H_
