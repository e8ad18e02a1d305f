#include "KVCommon/slice.h"

#include <atomic>
#include <cstddef>
#include <cstring>
#include <new>

#include "KVCommon/buffer_pool.h"

namespace kvstore {
namespace {

#if defined(__SANITIZE_ADDRESS__)
// So that it sees each buffer begin and end.
constexpr bool kPooled = false;
#else
constexpr bool kPooled = true;
#endif

// Of those that do not come from the pool.
std::atomic<size_t> small_live_bytes = 0;

}  // namespace

Buffer Buffer::Allocate(size_t size) { return AllocateAligned(size, alignof(std::max_align_t)); }

Buffer Buffer::AllocateForDirectIo(size_t size) { return AllocateAligned(size, kDirectAlignment); }

Buffer Buffer::AllocateAligned(size_t size, size_t alignment) {
  Buffer buffer;
  buffer.size_ = size;
  if (kPooled && size >= BufferPool::kSmallest) {
    buffer.held_ = BufferPool::FootprintOf(size);
    buffer.data_ = std::shared_ptr<std::byte>(
        BufferPool::Global().Take(size),
        [size](std::byte* memory) { BufferPool::Global().Give(memory, size); });
    return buffer;
  }
  auto* const memory =
      static_cast<std::byte*>(::operator new(size ? size : 1, std::align_val_t(alignment)));
  buffer.held_ = size;
  small_live_bytes.fetch_add(size, std::memory_order_relaxed);
  buffer.data_ = std::shared_ptr<std::byte>(memory, [size, alignment](std::byte* p) {
    small_live_bytes.fetch_sub(size, std::memory_order_relaxed);
    ::operator delete(p, std::align_val_t(alignment));
  });
  return buffer;
}

size_t Buffer::LiveBytes() {
  return small_live_bytes.load(std::memory_order_relaxed) + BufferPool::Global().live_bytes();
}

size_t Buffer::IdleBytes() { return BufferPool::Global().idle_bytes(); }

Slice Slice::CopyOf(ByteView bytes) {
  Buffer buffer = Buffer::Allocate(bytes.size());
  if (!bytes.empty()) std::memcpy(buffer.data(), bytes.data(), bytes.size());
  return std::move(buffer).Freeze();
}

}  // namespace kvstore
