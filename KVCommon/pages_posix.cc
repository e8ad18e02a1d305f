#include <sys/mman.h>

#include <cstdint>

#include "KVCommon/pages.h"
#include "KVCommon/status_macros.h"

namespace kvstore {

std::byte* MapPages(size_t size, bool huge) {
  // The system aligns to small pages only: what is too much goes back at once.
  const size_t mapped = size + kHugePageBytes;
  void* const start = mmap(nullptr, mapped, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  KV_CHECK(start != MAP_FAILED);
  auto* const begin = static_cast<std::byte*>(start);
  const size_t before = -reinterpret_cast<uintptr_t>(begin) % kHugePageBytes;
  UnmapPages(begin, before);
  UnmapPages(begin + before + size, mapped - before - size);
  if (huge) madvise(begin + before, size, MADV_HUGEPAGE);  // a wish: small ones do as well
  return begin + before;
}

void PopulatePages(std::byte* start, size_t size) {
  const size_t before = reinterpret_cast<uintptr_t>(start) % kPageBytes;
#ifdef MADV_POPULATE_WRITE
  madvise(start - before, size + before, MADV_POPULATE_WRITE);  // Linux 5.14 and later
#endif
}

void UnmapPages(std::byte* start, size_t size) {
  if (size > 0) KV_CHECK(munmap(start, size) == 0);
}

void DropPages(std::byte* start, size_t size) {
  const auto begin = reinterpret_cast<uintptr_t>(start);
  const uintptr_t first = (begin + kPageBytes - 1) / kPageBytes * kPageBytes;
  const uintptr_t last = (begin + size) / kPageBytes * kPageBytes;
  if (last > first) {
    KV_CHECK(madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED) == 0);
  }
}

}  // namespace kvstore
