// A growing array that never moves what it holds: growth takes one more chunk, in constant time,
// and wastes at most that chunk, where a vector copies all it has and may waste half.
#ifndef KVCOMMON_CHUNKED_VECTOR_H_
#define KVCOMMON_CHUNKED_VECTOR_H_

#include <cstddef>
#include <type_traits>
#include <vector>

#include "KVCommon/pages.h"

namespace kvstore {

// Of plain values whose initial state is all zeros. Chunks come from the system in huge pages where
// it has them (a table of a gigabyte otherwise misses the TLB at every access). Not thread-safe.
template <typename T>
class ChunkedVector {
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);

 public:
  ChunkedVector() = default;
  ~ChunkedVector() {
    for (T* chunk : chunks_) UnmapPages(reinterpret_cast<std::byte*>(chunk), kChunkBytes);
  }
  ChunkedVector(const ChunkedVector&) = delete;
  ChunkedVector& operator=(const ChunkedVector&) = delete;

  size_t size() const { return size_; }

  T& operator[](size_t i) { return chunks_[i / kPerChunk][i % kPerChunk]; }
  const T& operator[](size_t i) const { return chunks_[i / kPerChunk][i % kPerChunk]; }

  // Grows to at least `size` elements; new ones are all zeros.
  void GrowTo(size_t size) {
    if (size <= size_) return;
    while (chunks_.size() * kPerChunk < size) {
      std::byte* const chunk = MapPages(kChunkBytes, true);
      PopulatePages(chunk, kChunkBytes);
      chunks_.push_back(reinterpret_cast<T*>(chunk));
    }
    size_ = size;
  }

  void Prefetch(size_t i) const {
#if defined(__GNUC__)
    const auto* at = reinterpret_cast<const char*>(&(*this)[i]);
    __builtin_prefetch(at);
    if constexpr (sizeof(T) > 8) __builtin_prefetch(at + sizeof(T) - 1);
#else
    static_cast<void>(i);  // a hint, no more
#endif
  }

  // Of its elements; up to a chunk of 4 MiB more is there for the next.
  size_t memory_bytes() const { return size_ * sizeof(T); }

 private:
  static constexpr size_t kChunkBytes = 2 * kHugePageBytes;
  static constexpr size_t kPerChunk = kChunkBytes / sizeof(T);

  std::vector<T*> chunks_;
  size_t size_ = 0;
};

}  // namespace kvstore

#endif  // KVCOMMON_CHUNKED_VECTOR_H_
