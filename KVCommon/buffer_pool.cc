#include "KVCommon/buffer_pool.h"

#include <algorithm>
#include <bit>

#include "KVCommon/pages.h"

namespace kvstore {
namespace {

constexpr size_t kSlabBytes = size_t{16} << 20;

size_t RoundUp(size_t size, size_t unit) { return (size + unit - 1) / unit * unit; }

}  // namespace

BufferPool& BufferPool::Global() {
  static BufferPool* const pool = new BufferPool;  // buffers may outlive every static
  return *pool;
}

BufferPool::~BufferPool() {
  for (const Slab& slab : slabs_) UnmapPages(slab.start, slab.size);
}

size_t BufferPool::FootprintOf(size_t size) {
  return RoundUp(size, std::max(kPageBytes, std::bit_floor(size) / 16));
}

std::byte* BufferPool::Take(size_t size) {
  const size_t footprint = FootprintOf(size);
  live_.fetch_add(footprint, std::memory_order_relaxed);
  std::byte* memory;
  if (std::byte* const idle = TakeIdle(footprint, &memory)) return idle;
  PopulatePages(memory, footprint);
  return memory;
}

std::byte* BufferPool::TakeIdle(size_t footprint, std::byte** fresh) {
  absl::MutexLock lock(&mutex_);
  Class& of = classes_[footprint];
  if (!of.idle.empty()) {
    const IdleList::iterator newest = of.idle.back();
    of.idle.pop_back();
    std::byte* const memory = newest->memory;
    idle_.erase(newest);
    listed_bytes_ -= footprint;
    idle_bytes_.fetch_sub(footprint, std::memory_order_relaxed);
    return memory;
  }
  if (of.clean.empty()) {
    *fresh = Cut(footprint, &of);
  } else {
    *fresh = of.clean.back();
    of.clean.pop_back();
  }
  return nullptr;
}

std::byte* BufferPool::Cut(size_t footprint, Class* of) {
  if (of->uncut == of->uncut_end) {
    const size_t pieces = std::max<size_t>(1, kSlabBytes / footprint);
    const size_t mapped = RoundUp(pieces * footprint, kHugePageBytes);
    of->uncut = MapPages(mapped, huge_pages_.load(std::memory_order_relaxed));
    of->uncut_end = of->uncut + pieces * footprint;
    of->uncut_touched = 0;  // what the last slab ends with stays as it is
    slabs_.push_back({of->uncut, mapped});
  }
  std::byte* const memory = of->uncut;
  of->uncut += footprint;
  // Slabs begin at a huge page: what the last one has beyond the cut comes with it.
  size_t touched = 0;
  if (huge_pages_.load(std::memory_order_relaxed)) {
    touched = -reinterpret_cast<uintptr_t>(of->uncut) % kHugePageBytes;
  }
  idle_bytes_.fetch_add(touched - of->uncut_touched, std::memory_order_relaxed);
  of->uncut_touched = touched;
  return memory;
}

void BufferPool::Give(std::byte* memory, size_t size) {
  const size_t footprint = FootprintOf(size);
  std::vector<Idle> dropped;
  {
    absl::MutexLock lock(&mutex_);
    classes_[footprint].idle.push_back(idle_.insert(idle_.end(), {memory, footprint}));
    listed_bytes_ += footprint;
    idle_bytes_.fetch_add(footprint, std::memory_order_relaxed);
    while (listed_bytes_ > kMaxIdleBytes) {
      const Idle oldest = idle_.front();
      idle_.pop_front();
      classes_[oldest.footprint].idle.pop_front();
      listed_bytes_ -= oldest.footprint;
      idle_bytes_.fetch_sub(oldest.footprint, std::memory_order_relaxed);
      dropped.push_back(oldest);
    }
  }
  live_.fetch_sub(footprint, std::memory_order_relaxed);
  if (dropped.empty()) return;
  for (const Idle& each : dropped) DropPages(each.memory, each.footprint);
  absl::MutexLock lock(&mutex_);
  for (const Idle& each : dropped) classes_[each.footprint].clean.push_back(each.memory);
}

}  // namespace kvstore
