#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "KVCommon/status_macros.h"
#include "KVCommon/wire.h"
#include "KVCommon/wire_cursor.h"

namespace kvstore::wire {
namespace {

// As deep as protobuf's own parsers go.
constexpr int kMaxGroupDepth = 100;

absl::Status Malformed(const char* what) {
  return absl::InvalidArgumentError(fmt::format(
      "{} is not valid protobuf: truncated, malformed, or a string that is not UTF-8", what));
}

struct Field {
  uint32_t number;
  uint32_t type;
};

bool ReadField(Cursor& in, Field* field) {
  uint64_t tag;
  if (!in.ReadVarint(&tag) || tag > UINT32_MAX || (tag >> 3) == 0) return false;
  *field = {static_cast<uint32_t>(tag >> 3), static_cast<uint32_t>(tag & 7)};
  return true;
}

bool ReadLength(Cursor& in, size_t* length) {
  uint64_t value;
  if (!in.ReadVarint(&value) || value > in.left()) return false;
  *length = value;
  return true;
}

bool SkipField(Cursor& in, Field field, int depth = 0) {
  uint64_t ignored;
  size_t length;
  switch (field.type) {
    case kVarint:
      return in.ReadVarint(&ignored);
    case kFixed64:
      return in.Skip(8);
    case kFixed32:
      return in.Skip(4);
    case kLengthDelimited:
      return ReadLength(in, &length) && in.Skip(length);
    case kStartGroup:
      break;
    default:
      return false;
  }
  if (depth >= kMaxGroupDepth) return false;
  for (Field inner; ReadField(in, &inner);) {
    if (inner.type == kEndGroup) return inner.number == field.number;
    if (!SkipField(in, inner, depth + 1)) return false;
  }
  return false;
}

// Walks the fields of one message. `on_field` reads a field that it knows and returns kRead, leaves
// one that it does not and returns kUnknown (it is skipped), or kBad.
enum class Outcome { kRead, kUnknown, kBad };

template <typename OnField>
bool Walk(Cursor& in, OnField&& on_field) {
  while (in.left() > 0) {
    Field field;
    if (!ReadField(in, &field)) return false;
    const Outcome outcome = on_field(field);
    if (outcome == Outcome::kBad) return false;
    if (outcome == Outcome::kUnknown && !SkipField(in, field)) return false;
  }
  return true;
}

Outcome Done(bool ok) { return ok ? Outcome::kRead : Outcome::kBad; }

Outcome ReadString(Cursor& in, Field field, std::string* text) {
  if (field.type != kLengthDelimited) return Outcome::kUnknown;
  size_t length;
  return Done(ReadLength(in, &length) && in.ReadText(length, text) && IsUtf8(*text));
}

template <typename Integer>
Outcome ReadInteger(Cursor& in, Field field, Integer* value) {
  if (field.type != kVarint) return Outcome::kUnknown;
  uint64_t raw;
  if (!in.ReadVarint(&raw)) return Outcome::kBad;
  *value = static_cast<Integer>(raw);  // int32 keeps the low bits, bool is not-zero: as protobuf
  return Outcome::kRead;
}

// A tier that is not known yet is none.
Outcome ReadTier(Cursor& in, Field field, BlockTier* tier) {
  uint32_t number = 0;
  const Outcome outcome = ReadInteger(in, field, &number);
  if (outcome == Outcome::kRead) {
    *tier = number <= static_cast<uint32_t>(BlockTier::kRemote) ? static_cast<BlockTier>(number)
                                                                : BlockTier::kUnknown;
  }
  return outcome;
}

// A repeated varint field, packed or not, of at most `limit` values.
template <typename Integer>
Outcome ReadRepeated(Cursor& in, Field field, size_t limit, std::vector<Integer>* values) {
  uint64_t raw;
  if (field.type == kVarint) {
    if (values->size() >= limit || !in.ReadVarint(&raw)) return Outcome::kBad;
    values->push_back(static_cast<Integer>(raw));
    return Outcome::kRead;
  }
  if (field.type != kLengthDelimited) return Outcome::kUnknown;
  size_t length;
  if (!ReadLength(in, &length)) return Outcome::kBad;
  return Done(in.ReadVarints(length, limit, values));
}

// The same of tokens, which stay packed.
Outcome ReadPacked(Cursor& in, Field field, size_t limit, PackedTokens* tokens) {
  if (field.type == kVarint) {
    uint64_t raw;
    if (!in.ReadVarint(&raw)) return Outcome::kBad;
    const bool added = tokens->Add([&](std::string* bytes) {
      std::byte room[kMaxVarintSize + kVarintSlack];
      const std::byte* const end = PutVarints(room, std::span(&raw, 1));
      bytes->append(AsText({room, end}));
      return true;
    });
    return Done(added && tokens->size() <= limit);
  }
  if (field.type != kLengthDelimited) return Outcome::kUnknown;
  size_t length;
  if (!ReadLength(in, &length)) return Outcome::kBad;
  // Before it is copied; how many they are is known behind that.
  if (length > (limit - tokens->size()) * kMaxVarintSize) return Outcome::kBad;
  const bool added = tokens->Add([&](std::string* bytes) {
    bytes->reserve(bytes->size() + length);
    return in.AppendTo(bytes, length);
  });
  return Done(added && tokens->size() <= limit);
}

// A nested message, walked by `walk` within its length.
template <typename WalkMessage>
Outcome ReadMessage(Cursor& in, Field field, WalkMessage&& walk) {
  if (field.type != kLengthDelimited) return Outcome::kUnknown;
  size_t length;
  if (!ReadLength(in, &length)) return Outcome::kBad;
  const size_t outer = in.Enter(length);
  if (!walk()) return Outcome::kBad;
  in.Leave(outer);
  return Outcome::kRead;
}

bool WalkMetrics(Cursor& in, ServerMetrics* metrics) {
  return Walk(in, [&](Field field) {
    switch (field.number) {
      case 1:
        return ReadInteger(in, field, &metrics->storage_latency_us);
      case 2:
        return ReadInteger(in, field, &metrics->total_latency_us);
      case 3:
        return ReadInteger(in, field, &metrics->overhead_us);
      default:
        return Outcome::kUnknown;
    }
  });
}

Outcome ReadDigest(Cursor& in, Field field, std::optional<Digest>* digest) {
  if (field.type != kLengthDelimited) return Outcome::kUnknown;
  size_t length;
  if (!ReadLength(in, &length)) return Outcome::kBad;
  digest->reset();
  if (length == 0) return Outcome::kRead;  // absent, as proto3 has it
  digest->emplace();
  if (length != (*digest)->size()) return Outcome::kBad;
  return Done(in.CopyInto(reinterpret_cast<std::byte*>((*digest)->data()), length));
}

Outcome ReadChunkField(Cursor& in, Field field, Chunk* chunk) {
  switch (field.number) {
    case 1:
      return ReadInteger(in, field, &chunk->hash);
    case 2:
      return ReadString(in, field, &chunk->partition_key);
    case 3:
      return ReadInteger(in, field, &chunk->parent_hash);
    case 4: {
      if (field.type != kLengthDelimited) return Outcome::kUnknown;
      size_t length;
      if (!ReadLength(in, &length)) return Outcome::kBad;
      chunk->buffer = {in.position(), length};
      return Done(in.Skip(length));
    }
    case 5:
      return ReadRepeated(in, field, kBlockTokens, &chunk->tokens);
    case 6:
      return ReadString(in, field, &chunk->completion_id);
    case 16:
      return ReadDigest(in, field, &chunk->prefix_digest);
    default:
      return Outcome::kUnknown;
  }
}

bool WalkChunk(Cursor& in, Chunk* chunk) {
  uint32_t last = 0;
  return Walk(in, [&](Field field) {
    const Outcome outcome = ReadChunkField(in, field, chunk);
    const bool unpacked = field.number == 5 && field.type == kVarint;
    if (outcome == Outcome::kUnknown || field.number <= last || unpacked) chunk->canonical = false;
    last = field.number;
    return outcome;
  });
}

// What Walk cannot say with a bool: which of the chunk's own rules it broke.
absl::Status ChunkError(const char* what) {
  return absl::InvalidArgumentError(fmt::format(
      "{} is not valid: malformed protobuf, a string that is not UTF-8, more than {} tokens in "
      "its chunk, or a prefix_digest that is not 32 bytes",
      what, kBlockTokens));
}

}  // namespace

size_t LookupRequest::capacity_bytes() const {
  return resource_name.capacity() + container_name.capacity() + partition_key.capacity() +
         completion_id.capacity() + tokens.capacity_bytes() +
         precomputed_hashes.capacity() * sizeof precomputed_hashes[0];
}

void LookupRequest::Clear() {
  if (capacity_bytes() > kKeptBytes) {
    LookupRequest fresh;
    std::swap(*this, fresh);  // an assignment would leave the strings their memory
    return;
  }
  for (std::string* text : {&resource_name, &container_name, &partition_key, &completion_id}) {
    text->clear();
  }
  tokens.Clear();
  precomputed_hashes.clear();
}

absl::StatusOr<LookupRequest> ParseLookupRequest(Pieces message) {
  LookupRequest request;
  KV_RETURN_IF_ERROR(ParseLookupRequest(message, &request));
  return request;
}

absl::Status ParseLookupRequest(Pieces message, LookupRequest* into) {
  Cursor in(message);
  LookupRequest& request = *into;
  request.Clear();
  const bool ok = Walk(in, [&](Field field) {
    switch (field.number) {
      case 1:
        return ReadString(in, field, &request.resource_name);
      case 2:
        return ReadString(in, field, &request.container_name);
      case 3:
        return ReadString(in, field, &request.partition_key);
      case 4:
        return ReadString(in, field, &request.completion_id);
      case 5:
        return ReadPacked(in, field, kMaxPromptTokens, &request.tokens);
      case 6:
        return ReadRepeated(in, field, kMaxPromptTokens, &request.precomputed_hashes);
      default:
        return Outcome::kUnknown;
    }
  });
  if (!ok) {
    return absl::InvalidArgumentError(fmt::format(
        "LookupRequest is not valid: malformed protobuf, a string that is not UTF-8, or "
        "more than {} tokens",
        kMaxPromptTokens));
  }
  return absl::OkStatus();
}

absl::StatusOr<LookupResponse> ParseLookupResponse(Pieces message) {
  Cursor in(message);
  LookupResponse response;
  const bool ok = Walk(in, [&](Field field) {
    switch (field.number) {
      case 1:
        return ReadInteger(in, field, &response.cached_blocks);
      case 2:
        return ReadInteger(in, field, &response.last_hash);
      case 3:
        if (response.locations.empty()) {
          const auto claimed = static_cast<size_t>(std::max(0, response.cached_blocks));
          response.locations.reserve(std::min(claimed, kMaxPromptTokens / kBlockTokens));
        }
        return ReadMessage(in, field, [&] {
          BlockLocation& location = response.locations.emplace_back();
          return Walk(in, [&](Field inner) {
            switch (inner.number) {
              case 1:
                return ReadInteger(in, inner, &location.hash);
              case 2:
                return ReadString(in, inner, &location.location);
              case 16:
                return ReadInteger(in, inner, &location.size);
              case 17:
                return ReadTier(in, inner, &location.tier);
              default:
                return Outcome::kUnknown;
            }
          });
        });
      case 4:
        return ReadString(in, field, &response.error);
      case 5:
        return ReadInteger(in, field, &response.success);
      case 6:
        return ReadMessage(in, field, [&] { return WalkMetrics(in, &response.metrics); });
      case 16:
        return ReadInteger(in, field, &response.shared_store);
      default:
        return Outcome::kUnknown;
    }
  });
  if (!ok) return Malformed("LookupResponse");
  return response;
}

absl::StatusOr<ReadRequest> ParseReadRequest(Pieces message) {
  Cursor in(message);
  ReadRequest request;
  const bool ok = Walk(in, [&](Field field) {
    switch (field.number) {
      case 1:
        return ReadString(in, field, &request.resource_name);
      case 2:
        return ReadString(in, field, &request.container_name);
      case 3:
        return ReadString(in, field, &request.location);
      case 4:
        return ReadString(in, field, &request.completion_id);
      default:
        return Outcome::kUnknown;
    }
  });
  if (!ok) return Malformed("ReadRequest");
  return request;
}

absl::StatusOr<std::string> ParseHealthCheckRequest(Pieces message) {
  Cursor in(message);
  std::string service;
  const bool ok = Walk(in, [&](Field field) {
    return field.number == 1 ? ReadString(in, field, &service) : Outcome::kUnknown;
  });
  if (!ok) return Malformed("HealthCheckRequest");
  return service;
}

absl::StatusOr<ReadResponse> ParseReadResponse(Pieces message) {
  Cursor in(message);
  ReadResponse response;
  const bool ok = Walk(in, [&](Field field) {
    switch (field.number) {
      case 1:
        return ReadInteger(in, field, &response.found);
      case 2:
        return ReadMessage(in, field, [&] {
          response.has_chunk = true;
          return WalkChunk(in, &response.chunk);
        });
      case 3:
        return ReadString(in, field, &response.error);
      case 4:
        return ReadInteger(in, field, &response.success);
      case 5:
        return ReadMessage(in, field, [&] { return WalkMetrics(in, &response.metrics); });
      default:
        return Outcome::kUnknown;
    }
  });
  if (!ok) return ChunkError("ReadResponse");
  return response;
}

absl::StatusOr<WriteRequest> ParseWriteRequest(Pieces message) {
  Cursor in(message);
  WriteRequest request;
  const bool ok = Walk(in, [&](Field field) {
    switch (field.number) {
      case 1:
        return ReadString(in, field, &request.resource_name);
      case 2:
        return ReadString(in, field, &request.container_name);
      case 3:
        return ReadMessage(in, field, [&] {
          // Protobuf merges a message that comes in parts; only a whole one has bytes of its own.
          request.chunk_extent = request.has_chunk ? Extent{} : Extent{in.position(), in.left()};
          if (request.has_chunk) request.chunk.canonical = false;
          request.has_chunk = true;
          return WalkChunk(in, &request.chunk);
        });
      default:
        return Outcome::kUnknown;
    }
  });
  if (!ok) return ChunkError("WriteRequest");
  return request;
}

absl::StatusOr<WriteResponse> ParseWriteResponse(Pieces message) {
  Cursor in(message);
  WriteResponse response;
  const bool ok = Walk(in, [&](Field field) {
    switch (field.number) {
      case 1:
        return ReadInteger(in, field, &response.success);
      case 2:
        return ReadString(in, field, &response.error);
      case 3:
        return ReadMessage(in, field, [&] { return WalkMetrics(in, &response.metrics); });
      default:
        return Outcome::kUnknown;
    }
  });
  if (!ok) return Malformed("WriteResponse");
  return response;
}

absl::StatusOr<Chunk> ParseChunk(Pieces message) {
  Cursor in(message);
  Chunk chunk;
  if (!WalkChunk(in, &chunk)) return ChunkError("PromptChunk");
  return chunk;
}

std::optional<std::string_view> PartitionOf(ByteView canonical_chunk) {
  Cursor in(Pieces(&canonical_chunk, 1));
  uint64_t tag, value;
  if (!in.ReadVarint(&tag)) return std::nullopt;
  if (tag == (1 << 3 | kVarint)) {  // the hash, where it is not 0
    if (!in.ReadVarint(&value) || !in.ReadVarint(&tag)) return std::nullopt;
  }
  if (tag != (2 << 3 | kLengthDelimited)) return "";  // empty, and so left out
  if (!in.ReadVarint(&value) || value > in.left()) return std::nullopt;
  return AsText(canonical_chunk.subspan(in.position(), value));
}

void CopyOut(Pieces message, Extent extent, std::byte* into) {
  Cursor in(message);
  KV_CHECK(in.Skip(extent.offset) && in.CopyInto(into, extent.size));
}

bool IsUtf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    // Nearly all of it is ASCII, eight at a time.
    uint64_t eight;
    if (text.size() - i >= sizeof(eight)) {
      std::memcpy(&eight, text.data() + i, sizeof(eight));
      if ((eight & 0x8080808080808080u) == 0) {
        i += sizeof(eight);
        continue;
      }
    }
    const auto lead = static_cast<uint8_t>(text[i]);
    const size_t length = lead < 0x80 ? 1 : std::countl_one(lead);
    if (lead >= 0x80 && (length < 2 || length > 4)) return false;
    if (i + length > text.size()) return false;
    uint32_t point = length == 1 ? lead : lead & (0x7fu >> length);
    for (size_t k = 1; k < length; ++k) {
      const auto byte = static_cast<uint8_t>(text[i + k]);
      if ((byte & 0xc0) != 0x80) return false;
      point = point << 6 | (byte & 0x3f);
    }
    static constexpr uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
    const bool surrogate = point >= 0xd800 && point <= 0xdfff;
    if (point < kLeast[length] || surrogate || point > 0x10ffff) return false;
    i += length;
  }
  return true;
}

}  // namespace kvstore::wire
