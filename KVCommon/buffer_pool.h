// The memory that tensors live in. A block's megabyte costs 800 us to fault in and a tenth of that
// to fill, so what is freed is kept and given out again; and it comes in a few sizes from the
// system's own pages, so that years of blocks of mixed sizes leave no fragments: what is not in use
// can always be given back.
#ifndef KVCOMMON_BUFFER_POOL_H_
#define KVCOMMON_BUFFER_POOL_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"

namespace kvstore {

// Thread-safe. Sizes are rounded up by at most a sixteenth (and to whole pages), and memory of one
// rounded size is only ever given out for that size again. Addresses are kept for ever, memory is
// not.
class BufferPool {
 public:
  // Smaller ones are the allocator's business.
  static constexpr size_t kSmallest = size_t{32} << 10;
  // What is kept for reuse, at most. Beyond it the longest idle memory goes back to the system.
  static constexpr size_t kMaxIdleBytes = size_t{64} << 20;

  // The process's one pool, which Buffer allocates from.
  static BufferPool& Global();

  BufferPool() = default;
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  // The bytes that memory for `size` bytes takes. REQUIRES (here and below): size >= kSmallest.
  static size_t FootprintOf(size_t size);

  // At least `size` bytes, on a page's boundary, with anything in them.
  std::byte* Take(size_t size) ABSL_LOCKS_EXCLUDED(mutex_);

  // Takes back what Take gave for the same size.
  void Give(std::byte* memory, size_t size) ABSL_LOCKS_EXCLUDED(mutex_);

  // New memory comes in huge pages where the system has them: fewer faults, fewer TLB misses. For
  // the start of a program.
  void UseHugePages(bool use) { huge_pages_.store(use, std::memory_order_relaxed); }

  // Footprints of what is given out, and of what has memory and is not: it waits for reuse, or
  // shares a huge page with what was given out.
  size_t live_bytes() const { return live_.load(std::memory_order_relaxed); }
  size_t idle_bytes() const { return idle_bytes_.load(std::memory_order_relaxed); }

 private:
  struct Idle {
    std::byte* memory;
    size_t footprint;
  };
  using IdleList = std::list<Idle>;

  // All memory of one footprint.
  struct Class {
    std::deque<IdleList::iterator> idle;  // oldest first
    std::vector<std::byte*> clean;        // given back to the system
    std::byte* uncut = nullptr;           // the rest of the newest slab
    std::byte* uncut_end = nullptr;
    size_t uncut_touched = 0;  // bytes of it that have memory already
  };
  struct Slab {
    std::byte* start;
    size_t size;
  };

  // Memory that is ready; or nullptr, and some in `fresh` whose pages the system has yet to give.
  std::byte* TakeIdle(size_t footprint, std::byte** fresh) ABSL_LOCKS_EXCLUDED(mutex_);
  std::byte* Cut(size_t footprint, Class* of) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  std::atomic<size_t> live_ = 0;
  std::atomic<size_t> idle_bytes_ = 0;
  std::atomic<bool> huge_pages_ = true;

  mutable absl::Mutex mutex_;
  absl::flat_hash_map<size_t, Class> classes_ ABSL_GUARDED_BY(mutex_);  // by footprint
  IdleList idle_ ABSL_GUARDED_BY(mutex_);                               // longest idle first
  size_t listed_bytes_ ABSL_GUARDED_BY(mutex_) = 0;                     // of idle_
  std::vector<Slab> slabs_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace kvstore

#endif  // KVCOMMON_BUFFER_POOL_H_
