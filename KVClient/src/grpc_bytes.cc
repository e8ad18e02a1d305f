#include "KVClient/src/grpc_bytes.h"

#include <algorithm>
#include <new>
#include <utility>

#include "absl/strings/numbers.h"

namespace kvstore::client {
namespace {

// A server that asks for more is not waited for that long.
constexpr int64_t kMaxHintMs = 60'000;

using Released = absl::AnyInvocable<void() &&>;

void Release(void* held) {
  const std::unique_ptr<Released> released(static_cast<Released*>(held));
  std::move (*released)();
}

}  // namespace

grpc::ByteBuffer ToByteBuffer(const std::string& message) {
  const grpc::Slice slice(message);
  return grpc::ByteBuffer(&slice, 1);
}

grpc::ByteBuffer ToByteBuffer(const wire::LookupRequestView& request) {
  wire::EncodedLookup encoded = wire::Encode(request);
  const ByteView bytes = encoded.bytes;
  const grpc::Slice slice(
      const_cast<std::byte*>(bytes.data()), bytes.size(),
      +[](void* room) { delete[] static_cast<std::byte*>(room); }, encoded.room.release());
  return grpc::ByteBuffer(&slice, 1);
}

grpc::ByteBuffer ToByteBuffer(const wire::Frame& frame, std::span<const std::byte> memory,
                              absl::AnyInvocable<void() &&> released) {
  // gRPC takes the memory as mutable and never writes to it.
  void* const start = const_cast<std::byte*>(memory.data());
  const grpc::Slice slices[] = {
      grpc::Slice(frame.head),
      grpc::Slice(start, memory.size(), &Release, new Released(std::move(released))),
      grpc::Slice(frame.tail)};
  return grpc::ByteBuffer(slices, 3);
}

ReceivedMessage::ReceivedMessage(const grpc::ByteBuffer& message) {
  ok_ = !message.Valid() || message.Dump(&slices_).ok();
  pieces_.reserve(slices_.size());
  for (const grpc::Slice& slice : slices_) {
    pieces_.emplace_back(reinterpret_cast<const std::byte*>(slice.begin()), slice.size());
  }
}

absl::Status ToStatus(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

std::chrono::milliseconds RetryHintOf(const grpc::ClientContext& context) {
  const auto& trailing = context.GetServerTrailingMetadata();
  const auto hint = trailing.find("grpc-retry-pushback-ms");
  int64_t ms = 0;
  if (hint == trailing.end() ||
      !absl::SimpleAtoi(absl::string_view(hint->second.data(), hint->second.size()), &ms)) {
    return std::chrono::milliseconds(0);
  }
  return std::chrono::milliseconds(std::clamp<int64_t>(ms, 0, kMaxHintMs));
}

}  // namespace kvstore::client
