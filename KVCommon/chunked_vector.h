// A vector that grows without moving: its elements live in chunks, so that growing costs one chunk
// and never a copy of everything, which matters under a lock and with ten million elements.
#ifndef KVCOMMON_CHUNKED_VECTOR_H_
#define KVCOMMON_CHUNKED_VECTOR_H_

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace kvstore {

// Thread-compatible. References stay valid as it grows. T is default-constructible.
template <typename T, size_t kChunk = 65536>
class ChunkedVector {
  static_assert((kChunk & (kChunk - 1)) == 0, "a power of two");

 public:
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  // REQUIRES: i < size().
  T& operator[](size_t i) { return chunks_[i / kChunk][i % kChunk]; }
  const T& operator[](size_t i) const { return chunks_[i / kChunk][i % kChunk]; }

  // Makes it at least `size` long; new elements are as T() makes them.
  void GrowTo(size_t size) {
    if (size <= size_) return;
    while (chunks_.size() * kChunk < size) chunks_.push_back(std::make_unique<T[]>(kChunk));
    size_ = size;
  }

  T& PushBack(T value) {
    GrowTo(size_ + 1);
    return (*this)[size_ - 1] = std::move(value);
  }

  // REQUIRES: not empty. Keeps the memory.
  void PopBack() { (*this)[--size_] = T(); }

  size_t MemoryBytes() const {
    return chunks_.size() * kChunk * sizeof(T) + chunks_.capacity() * sizeof(chunks_[0]);
  }

 private:
  std::vector<std::unique_ptr<T[]>> chunks_;
  size_t size_ = 0;
};

}  // namespace kvstore

#endif  // KVCOMMON_CHUNKED_VECTOR_H_
