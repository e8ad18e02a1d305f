#include "KVCommon/slice.h"

#include <cstddef>
#include <cstring>
#include <new>

namespace kvstore {

Buffer Buffer::Allocate(size_t size) { return AllocateAligned(size, alignof(std::max_align_t)); }

Buffer Buffer::AllocateForDirectIo(size_t size) { return AllocateAligned(size, kDirectAlignment); }

Buffer Buffer::AllocateAligned(size_t size, size_t alignment) {
  auto* memory =
      static_cast<std::byte*>(::operator new(size ? size : 1, std::align_val_t(alignment)));
  Buffer buffer;
  buffer.data_ = std::shared_ptr<std::byte>(
      memory, [alignment](std::byte* p) { ::operator delete(p, std::align_val_t(alignment)); });
  buffer.size_ = size;
  return buffer;
}

Slice Slice::CopyOf(ByteView bytes) {
  Buffer buffer = Buffer::Allocate(bytes.size());
  if (!bytes.empty()) std::memcpy(buffer.data(), bytes.data(), bytes.size());
  return std::move(buffer).Freeze();
}

}  // namespace kvstore
