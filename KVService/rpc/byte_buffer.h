// Between gRPC's byte buffers and ours, without a copy where that is possible.
#ifndef KVSERVICE_RPC_BYTE_BUFFER_H_
#define KVSERVICE_RPC_BYTE_BUFFER_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <string>
#include <vector>

#include "KVCommon/slice.h"
#include "KVCommon/wire.h"

namespace kvstore {

// A received message as the parsers take it. Shares the buffer's slices.
class ReceivedMessage {
 public:
  explicit ReceivedMessage(const grpc::ByteBuffer& buffer);

  wire::Pieces pieces() const { return pieces_; }

 private:
  std::vector<grpc::Slice> slices_;
  std::vector<ByteView> pieces_;
};

// The chunk that was parsed from `message`, and whose own bytes there are `extent`, encoded
// canonically, in one piece of memory of our own: gRPC's slices would pin its larger read buffers
// for as long as the block is cached.
Slice CanonicalChunk(wire::Pieces message, const wire::Chunk& chunk, wire::Extent extent);

grpc::ByteBuffer ToByteBuffer(const std::string& message);

// head + body + tail as one message. The body is referenced: it lives until gRPC has sent it.
grpc::ByteBuffer ToByteBuffer(const wire::Frame& frame, const Slice& body);

}  // namespace kvstore

#endif  // KVSERVICE_RPC_BYTE_BUFFER_H_
