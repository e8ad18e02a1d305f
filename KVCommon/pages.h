// Memory straight from the system, in whole pages: for what is large, long-lived, or has to be
// given back for certain. The one place where the two kinds of system differ is pages_posix.cc.
#ifndef KVCOMMON_PAGES_H_
#define KVCOMMON_PAGES_H_

#include <cstddef>

namespace kvstore {

inline constexpr size_t kPageBytes = 4096;
inline constexpr size_t kHugePageBytes = size_t{2} << 20;

// `size` bytes of zeros at a huge page's boundary; they take memory as they are touched. `huge`: in
// huge pages where the system has them to give. Never null: a process that cannot have its tables
// ends. REQUIRES: size is a multiple of kPageBytes.
std::byte* MapPages(size_t size, bool huge);

// Has the system give the range's memory now, at once: on virtual machines 10 to 40 times cheaper
// than page by page as they are touched. The pages keep what they hold. Where that cannot be they
// come as they are touched.
void PopulatePages(std::byte* start, size_t size);

void UnmapPages(std::byte* start, size_t size);

// Gives the memory back and keeps the addresses: the whole pages of the range read as zeros from
// then on.
void DropPages(std::byte* start, size_t size);

}  // namespace kvstore

#endif  // KVCOMMON_PAGES_H_
