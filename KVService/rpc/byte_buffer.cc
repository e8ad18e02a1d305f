#include "KVService/rpc/byte_buffer.h"

#include <cstring>

#include "KVCommon/status_macros.h"

namespace kvstore {

ReceivedMessage::ReceivedMessage(const grpc::ByteBuffer& buffer) {
  // A unary call that is cancelled, or half-closed, before its message came still reaches us, with
  // no message at all: an empty one, which every parser refuses for what it lacks.
  if (!buffer.Valid()) return;
  // Fails only for compressed messages that do not decompress, which gRPC refuses before us.
  KV_CHECK(buffer.Dump(&slices_).ok());
  pieces_.reserve(slices_.size());
  for (const grpc::Slice& slice : slices_) {
    pieces_.push_back({reinterpret_cast<const std::byte*>(slice.begin()), slice.size()});
  }
}

Slice CanonicalChunk(wire::Pieces message, const wire::Chunk& chunk, wire::Extent extent) {
  if (chunk.canonical) {
    Buffer copy = Buffer::Allocate(extent.size);
    wire::CopyOut(message, extent, copy.data());
    return std::move(copy).Freeze();
  }
  const wire::Frame frame = wire::FrameChunk(chunk, chunk.buffer.size);
  Buffer whole = Buffer::Allocate(frame.head.size() + chunk.buffer.size + frame.tail.size());
  std::byte* at = whole.data();
  std::memcpy(at, frame.head.data(), frame.head.size());
  wire::CopyOut(message, chunk.buffer, at + frame.head.size());
  std::memcpy(at + frame.head.size() + chunk.buffer.size, frame.tail.data(), frame.tail.size());
  return std::move(whole).Freeze();
}

grpc::ByteBuffer ToByteBuffer(const std::string& message) {
  const grpc::Slice slice(message);
  return grpc::ByteBuffer(&slice, 1);
}

grpc::ByteBuffer ToByteBuffer(const wire::Frame& frame, const Slice& body) {
  auto* held = new Slice(body);
  const grpc::Slice parts[] = {grpc::Slice(frame.head),
                               grpc::Slice(
                                   const_cast<std::byte*>(body.data()), body.size(),
                                   [](void* held) { delete static_cast<Slice*>(held); }, held),
                               grpc::Slice(frame.tail)};
  return grpc::ByteBuffer(parts, 3);
}

}  // namespace kvstore
