// Memory that is filled once by one owner (Buffer) and then shared, never to change (Slice).
#ifndef KVCOMMON_SLICE_H_
#define KVCOMMON_SLICE_H_

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

namespace kvstore {

using ByteView = std::span<const std::byte>;

inline ByteView AsBytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}
inline std::string_view AsText(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// A refcounted view of immutable bytes. Copies share; the memory goes with the last of them.
// Thread-safe as std::shared_ptr is: distinct copies may be used and dropped from any thread.
class Slice {
 public:
  Slice() = default;
  Slice(std::shared_ptr<const std::byte> data, size_t size) : Slice(std::move(data), size, size) {}

  // A slice of its own, holding a copy of `bytes`.
  static Slice CopyOf(ByteView bytes);

  ByteView bytes() const { return {data_.get(), size_}; }
  const std::byte* data() const { return data_.get(); }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  // The bytes of memory that it keeps from being freed, its own size at least.
  size_t held_bytes() const { return held_; }

  // The part [offset, offset + size), sharing the memory. REQUIRES: it lies inside this slice.
  Slice Sub(size_t offset, size_t size) const {
    return Slice(std::shared_ptr<const std::byte>(data_, data_.get() + offset), size, held_);
  }

 private:
  friend class Buffer;
  Slice(std::shared_ptr<const std::byte> data, size_t size, size_t held)
      : data_(std::move(data)), size_(size), held_(held) {}

  std::shared_ptr<const std::byte> data_;
  size_t size_ = 0;
  size_t held_ = 0;
};

// Uninitialised memory with one owner. What a block's tensors need comes from BufferPool::Global().
class Buffer {
 public:
  static constexpr size_t kDirectAlignment = 4096;

  Buffer() = default;
  static Buffer Allocate(size_t size);
  // On a page's boundary, as I/O past the page cache needs it. Costs up to a page more.
  static Buffer AllocateForDirectIo(size_t size);

  std::byte* data() { return data_.get(); }
  size_t size() const { return size_; }
  std::span<std::byte> bytes() { return {data_.get(), size_}; }

  // Gives the memory up to a slice of all of it, or of `size` bytes from `offset` on.
  Slice Freeze() && { return std::move(*this).Freeze(0, size_); }
  Slice Freeze(size_t offset, size_t size) && {
    std::byte* start = data_.get() + offset;
    return Slice(std::shared_ptr<const std::byte>(std::move(data_), start), size, held_);
  }

  // The memory of all buffers of this process that are not freed yet, slices of them included; and
  // that which the pool keeps for the next ones.
  static size_t LiveBytes();
  static size_t IdleBytes();

 private:
  static Buffer AllocateAligned(size_t size, size_t alignment);

  std::shared_ptr<std::byte> data_;
  size_t size_ = 0;
  size_t held_ = 0;
};

}  // namespace kvstore

#endif  // KVCOMMON_SLICE_H_
