#include <cstring>

#include "KVCommon/varints.h"
#include "KVCommon/wire.h"
#include "KVCommon/wire_cursor.h"

namespace kvstore::wire {
namespace {

// Writes where there is room: what a Lookup answers is hundreds of small fields.
class Writer {
 public:
  explicit Writer(char* at) : at_(at) {}

  void Varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) *at_++ = static_cast<char>(value | 0x80);
    *at_++ = static_cast<char>(value);
  }
  void Tag(uint32_t number, WireType type) { Varint(number << 3 | type); }
  void Integer(uint32_t number, uint64_t value) {
    if (value == 0) return;
    Tag(number, kVarint);
    Varint(value);
  }
  void String(uint32_t number, std::string_view text) {
    if (text.empty()) return;
    Tag(number, kLengthDelimited);
    Varint(text.size());
    std::memcpy(at_, text.data(), text.size());
    at_ += text.size();
  }
  const char* at() const { return at_; }

 private:
  char* at_;
};

void PutVarint(std::string* out, uint64_t value) {
  char bytes[kMaxVarintSize];
  Writer writer(bytes);
  writer.Varint(value);
  out->append(bytes, static_cast<size_t>(writer.at() - bytes));
}

void PutTag(std::string* out, uint32_t number, WireType type) {
  PutVarint(out, number << 3 | type);
}

void PutLength(std::string* out, uint32_t number, size_t size) {
  PutTag(out, number, kLengthDelimited);
  PutVarint(out, size);
}

// Of those two, for the numbers up to 15.
constexpr size_t kMostBefore = 1 + kMaxVarintSize;

// proto3: a singular field at its default is left out.
void PutInteger(std::string* out, uint32_t number, uint64_t value) {
  if (value == 0) return;
  PutTag(out, number, kVarint);
  PutVarint(out, value);
}

void PutString(std::string* out, uint32_t number, std::string_view text) {
  if (text.empty()) return;
  PutLength(out, number, text.size());
  out->append(text);
}

void PutMessage(std::string* out, uint32_t number, std::string_view encoded) {
  PutLength(out, number, encoded.size());
  out->append(encoded);
}

void PutPacked(std::string* out, uint32_t number, std::span<const uint64_t> values) {
  if (values.empty()) return;
  size_t size = 0;
  for (const uint64_t value : values) size += VarintSize(value);
  PutLength(out, number, size);
  const size_t start = out->size();
  out->resize(start + size + kVarintSlack);
  PutVarints(reinterpret_cast<std::byte*>(out->data()) + start, values);
  out->resize(start + size);
}

void PutMetrics(std::string* out, uint32_t number, const ServerMetrics& metrics) {
  std::string encoded;
  PutInteger(&encoded, 1, static_cast<uint64_t>(metrics.storage_latency_us));
  PutInteger(&encoded, 2, static_cast<uint64_t>(metrics.total_latency_us));
  PutInteger(&encoded, 3, static_cast<uint64_t>(metrics.overhead_us));
  PutMessage(out, number, encoded);
}

}  // namespace

EncodedLookup Encode(const LookupRequestView& request) {
  std::string head, tail;
  PutString(&head, 1, request.resource_name);
  PutString(&head, 2, request.container_name);
  PutString(&head, 3, request.partition_key);
  PutString(&head, 4, request.completion_id);
  PutPacked(&tail, 6, request.precomputed_hashes);
  // The length of what is packed is known when it is there, so that goes behind the largest head.
  const size_t before = head.size() + kMostBefore;
  const std::span<const uint64_t> tokens = Unsigned(request.tokens);
  EncodedLookup encoded;
  const auto allocate = [&](size_t token_size) {
    const size_t size = before + tokens.size() * token_size + tail.size() + kVarintSlack;
    encoded.room.reset();  // before there are two
    encoded.room.reset(new std::byte[size]);
    return encoded.room.get() + before;
  };
  std::byte* begin = allocate(kSmallVarintSize);
  std::byte* end = PutSmallVarints(begin, tokens);
  if (end == nullptr) {
    begin = allocate(kMaxVarintSize);
    end = PutVarints(begin, tokens);
  }
  if (end != begin) PutLength(&head, 5, static_cast<size_t>(end - begin));
  std::memcpy(end, tail.data(), tail.size());
  std::memcpy(begin - head.size(), head.data(), head.size());
  encoded.bytes = {begin - head.size(), end + tail.size()};
  return encoded;
}

std::string Encode(const LookupRequest& request) {
  std::string out;
  PutString(&out, 1, request.resource_name);
  PutString(&out, 2, request.container_name);
  PutString(&out, 3, request.partition_key);
  PutString(&out, 4, request.completion_id);
  PutString(&out, 5, AsText(request.tokens.bytes()));  // packed, they are bytes of some length
  PutPacked(&out, 6, request.precomputed_hashes);
  return out;
}

std::string Encode(const LookupResponse& response) {
  std::string out;
  out.reserve(64 + response.locations.size() * 128);
  PutInteger(&out, 1, static_cast<uint64_t>(static_cast<int64_t>(response.cached_blocks)));
  PutInteger(&out, 2, response.last_hash);
  for (const BlockLocation& location : response.locations) {
    std::string encoded;
    PutInteger(&encoded, 1, location.hash);
    PutString(&encoded, 2, location.location);
    PutInteger(&encoded, 16, location.size);
    PutInteger(&encoded, 17, static_cast<uint64_t>(location.tier));
    PutMessage(&out, 3, encoded);
  }
  PutString(&out, 4, response.error);
  PutInteger(&out, 5, response.success);
  PutMetrics(&out, 6, response.metrics);
  PutInteger(&out, 16, response.shared_store);
  return out;
}

void EncodeFound(std::span<const FoundLocation> found, const ServerMetrics& metrics,
                 bool shared_store, std::string* out) {
  constexpr size_t kMostBeside = 5 * (2 + kMaxVarintSize);  // of a location, beside its text
  out->clear();
  PutInteger(out, 1, found.size());
  if (!found.empty()) PutInteger(out, 2, found.back().hash);
  const size_t start = out->size();
  size_t room = start + found.size() * kMostBeside;
  for (const FoundLocation& each : found) room += each.location.size();
  out->resize(room);
  Writer writer(out->data() + start);
  for (const FoundLocation& each : found) {
    const size_t hash = each.hash == 0 ? 0 : 1 + VarintSize(each.hash);
    const size_t text = each.location.size();
    const size_t size = each.size == 0 ? 0 : 2 + VarintSize(each.size);
    const size_t tier = each.tier == BlockTier::kUnknown ? 0 : 3;
    writer.Tag(3, kLengthDelimited);
    writer.Varint(hash + (text == 0 ? 0 : 1 + VarintSize(text) + text) + size + tier);
    writer.Integer(1, each.hash);
    writer.String(2, each.location);
    writer.Integer(16, each.size);
    writer.Integer(17, static_cast<uint64_t>(each.tier));
  }
  out->resize(static_cast<size_t>(writer.at() - out->data()));
  PutInteger(out, 5, 1);  // success
  PutMetrics(out, 6, metrics);
  PutInteger(out, 16, shared_store);
}

std::string Encode(const ReadRequest& request) {
  std::string out;
  PutString(&out, 1, request.resource_name);
  PutString(&out, 2, request.container_name);
  PutString(&out, 3, request.location);
  PutString(&out, 4, request.completion_id);
  return out;
}

std::string Encode(const WriteResponse& response) {
  std::string out;
  PutInteger(&out, 1, response.success);
  PutString(&out, 2, response.error);
  PutMetrics(&out, 3, response.metrics);
  return out;
}

Frame FrameChunk(const Chunk& chunk, size_t buffer_size) {
  Frame frame;
  PutInteger(&frame.head, 1, chunk.hash);
  PutString(&frame.head, 2, chunk.partition_key);
  PutInteger(&frame.head, 3, chunk.parent_hash);
  if (buffer_size > 0) {
    PutLength(&frame.head, 4, buffer_size);
  }
  PutPacked(&frame.tail, 5, Unsigned(chunk.tokens));
  PutString(&frame.tail, 6, chunk.completion_id);
  if (chunk.prefix_digest) {
    PutString(&frame.tail, 16, AsText(std::as_bytes(std::span(*chunk.prefix_digest))));
  }
  return frame;
}

Frame FrameWriteRequest(std::string_view resource_name, std::string_view container_name,
                        const Chunk& chunk, size_t buffer_size) {
  Frame inner = FrameChunk(chunk, buffer_size);
  Frame frame;
  PutString(&frame.head, 1, resource_name);
  PutString(&frame.head, 2, container_name);
  PutLength(&frame.head, 3, inner.head.size() + buffer_size + inner.tail.size());
  frame.head += inner.head;
  frame.tail = std::move(inner.tail);
  return frame;
}

Frame FrameReadResponse(const ReadResponse& response, size_t chunk_size) {
  Frame frame;
  PutInteger(&frame.head, 1, response.found);
  if (response.has_chunk) {
    PutLength(&frame.head, 2, chunk_size);
  }
  std::string* rest = response.has_chunk ? &frame.tail : &frame.head;
  PutString(rest, 3, response.error);
  PutInteger(rest, 4, response.success);
  PutMetrics(rest, 5, response.metrics);
  return frame;
}

}  // namespace kvstore::wire
