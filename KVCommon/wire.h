// The wire contract by hand: protobuf framing of protos/kvstore.proto over scattered bytes.
//
// A 1.2 MB buffer never becomes a protobuf object. What arrives is walked and checked in full where
// it lies, and the buffer is named by its place in the message (Extent). The parsers take any valid
// encoding (fields in any order, unknown fields, repeated singular fields, packed or unpacked
// scalars) and give INVALID_ARGUMENT for anything else; the writers give the canonical encoding.
// Source: protobuf's encoding specification (developers.google.com/protocol-buffers/docs/encoding).
#ifndef KVCOMMON_WIRE_H_
#define KVCOMMON_WIRE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "KVCommon/digest.h"
#include "KVCommon/limits.h"
#include "KVCommon/packed_tokens.h"
#include "KVCommon/slice.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace kvstore::wire {

// A message as it lies in memory: one piece, or many (a received gRPC message).
using Pieces = std::span<const ByteView>;

// A range of a message's bytes, counted from its first.
struct Extent {
  size_t offset = 0;
  size_t size = 0;
};

// Copies the extent out of the message. REQUIRES: it lies inside, and `into` has its size.
void CopyOut(Pieces message, Extent extent, std::byte* into);

struct ServerMetrics {
  int64_t storage_latency_us = 0;
  int64_t total_latency_us = 0;
  int64_t overhead_us = 0;
};

struct Chunk {
  uint64_t hash = 0;
  std::string partition_key;
  uint64_t parent_hash = 0;
  Extent buffer;  // within the message that was parsed
  std::vector<Token> tokens;
  std::string completion_id;
  std::optional<Digest> prefix_digest;

  // False where the encoding is valid protobuf and yet not the one that this project writes: fields
  // repeated, unknown, unpacked or out of order. Such a chunk is encoded again before it is stored.
  bool canonical = true;
};

struct LookupRequest {
  std::string resource_name;
  std::string container_name;
  std::string partition_key;
  std::string completion_id;
  PackedTokens tokens;
  std::vector<uint64_t> precomputed_hashes;

  // Empties all, and keeps the memory for the next, up to kKeptBytes.
  static constexpr size_t kKeptBytes = size_t{8} << 20;
  void Clear();
  size_t capacity_bytes() const;
};

enum class BlockTier : uint8_t { kUnknown = 0, kRam = 1, kDisk = 2, kRemote = 3 };

struct BlockLocation {
  uint64_t hash = 0;
  std::string location;
  uint64_t size = 0;
  BlockTier tier = BlockTier::kUnknown;
};

struct LookupResponse {
  int32_t cached_blocks = 0;
  uint64_t last_hash = 0;
  std::vector<BlockLocation> locations;
  std::string error;
  bool success = false;
  ServerMetrics metrics;
  bool shared_store = false;  // any server on the storage can serve what was found
};

struct ReadRequest {
  std::string resource_name;
  std::string container_name;
  std::string location;
  std::string completion_id;
};

struct ReadResponse {
  bool found = false;
  bool has_chunk = false;
  Chunk chunk;
  std::string error;
  bool success = false;
  ServerMetrics metrics;
};

struct WriteRequest {
  std::string resource_name;
  std::string container_name;
  bool has_chunk = false;
  Chunk chunk;
  Extent chunk_extent;  // the chunk's own bytes; {0, 0} where it came in several parts
};

struct WriteResponse {
  bool success = false;
  std::string error;
  ServerMetrics metrics;
};

absl::StatusOr<LookupRequest> ParseLookupRequest(Pieces message);
// The same into an object that is used again and again, and then allocates nothing.
absl::Status ParseLookupRequest(Pieces message, LookupRequest* into);
absl::StatusOr<LookupResponse> ParseLookupResponse(Pieces message);
absl::StatusOr<ReadRequest> ParseReadRequest(Pieces message);
// The service asked for, of grpc.health.v1's HealthCheckRequest.
absl::StatusOr<std::string> ParseHealthCheckRequest(Pieces message);
absl::StatusOr<ReadResponse> ParseReadResponse(Pieces message);
absl::StatusOr<WriteRequest> ParseWriteRequest(Pieces message);
absl::StatusOr<WriteResponse> ParseWriteResponse(Pieces message);
absl::StatusOr<Chunk> ParseChunk(Pieces message);

// The partition of a canonical chunk, from its first bytes; nullopt where they are none's.
std::optional<std::string_view> PartitionOf(ByteView canonical_chunk);

// The same request from where its parts lie.
struct LookupRequestView {
  std::string_view resource_name;
  std::string_view container_name;
  std::string_view partition_key;
  std::string_view completion_id;
  std::span<const Token> tokens;
  std::span<const uint64_t> precomputed_hashes;
};
struct EncodedLookup {
  std::unique_ptr<std::byte[]> room;
  ByteView bytes;  // somewhere in it
};
EncodedLookup Encode(const LookupRequestView& request);

std::string Encode(const LookupRequest& request);
std::string Encode(const LookupResponse& response);
std::string Encode(const ReadRequest& request);
std::string Encode(const WriteResponse& response);

// The LookupResponse of a Lookup that went well, into `out`, whose memory is reused.
struct FoundLocation {
  uint64_t hash = 0;
  std::string_view location;
  uint64_t size = 0;
  BlockTier tier = BlockTier::kUnknown;
};
void EncodeFound(std::span<const FoundLocation> found, const ServerMetrics& metrics,
                 bool shared_store, std::string* out);

// A message with the large part left out, to be sent between head and tail.
struct Frame {
  std::string head;
  std::string tail;
};

// The canonical PromptChunk around a buffer of `buffer_size` bytes; `chunk.buffer` is not used.
Frame FrameChunk(const Chunk& chunk, size_t buffer_size);

// The canonical WriteRequest around the buffer of `chunk`.
Frame FrameWriteRequest(std::string_view resource_name, std::string_view container_name,
                        const Chunk& chunk, size_t buffer_size);

// The ReadResponse around an encoded chunk of `chunk_size` bytes. With `response.has_chunk` false
// all of it is in the head; `response.chunk` is not used.
Frame FrameReadResponse(const ReadResponse& response, size_t chunk_size);

// Whether `text` is UTF-8, which proto3 demands of strings: other parsers refuse a message without.
bool IsUtf8(std::string_view text);

}  // namespace kvstore::wire

#endif  // KVCOMMON_WIRE_H_
