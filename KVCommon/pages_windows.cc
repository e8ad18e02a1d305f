#include <windows.h>

#include <cstdint>

#include "KVCommon/pages.h"
#include "KVCommon/status_macros.h"

namespace kvstore {

// Huge pages would need a right that services have only where an administrator gave it, and be
// there in full from the start.
std::byte* MapPages(size_t size, bool /*huge*/) {
  // Addresses are reserved at a huge page's boundary as elsewhere; only what is asked for counts as
  // memory, and only as it is touched does it take any.
  void* const reserved =
      VirtualAlloc(nullptr, size + kHugePageBytes, MEM_RESERVE, PAGE_READWRITE);
  KV_CHECK(reserved != nullptr);
  auto* const begin = static_cast<std::byte*>(reserved);
  std::byte* const start = begin + -reinterpret_cast<uintptr_t>(begin) % kHugePageBytes;
  KV_CHECK(VirtualAlloc(start, size, MEM_COMMIT, PAGE_READWRITE) == start);
  return start;
}

// Nothing here gives memory that is not touched.
void PopulatePages(std::byte*, size_t) {}

void UnmapPages(std::byte* start, size_t size) {
  if (size == 0) return;
  MEMORY_BASIC_INFORMATION found;
  KV_CHECK(VirtualQuery(start, &found, sizeof found) != 0);
  KV_CHECK(VirtualFree(found.AllocationBase, 0, MEM_RELEASE) != 0);
}

void DropPages(std::byte* start, size_t size) {
  const auto begin = reinterpret_cast<uintptr_t>(start);
  const uintptr_t first = (begin + kPageBytes - 1) / kPageBytes * kPageBytes;
  const uintptr_t last = (begin + size) / kPageBytes * kPageBytes;
  if (last <= first) return;
  void* const pages = reinterpret_cast<void*>(first);
  KV_CHECK(VirtualFree(pages, last - first, MEM_DECOMMIT) != 0);
  KV_CHECK(VirtualAlloc(pages, last - first, MEM_COMMIT, PAGE_READWRITE) == pages);
}

}  // namespace kvstore
