// Every message of the wire contract, cut into pieces at will; what parses must survive a round
// trip.
#include <algorithm>
#include <vector>

#include "KVCommon/packed_tokens.h"
#include "KVCommon/status_macros.h"
#include "KVCommon/varints.h"
#include "KVCommon/wire.h"

namespace wire = kvstore::wire;

namespace {

template <typename Message, typename Parse>
void RoundTrip(const Message& message, Parse parse) {
  const std::string encoded = wire::Encode(message);
  const kvstore::ByteView whole = kvstore::AsBytes(encoded);
  const auto again = parse(wire::Pieces(&whole, 1));
  KV_CHECK(again.ok());
  KV_CHECK(wire::Encode(*again) == encoded);
}

void CheckChunk(wire::Pieces message, const wire::Chunk& chunk) {
  std::string buffer(chunk.buffer.size, '\0');
  wire::CopyOut(message, chunk.buffer, reinterpret_cast<std::byte*>(buffer.data()));
  const wire::Frame frame = wire::FrameChunk(chunk, buffer.size());
  const std::string encoded = frame.head + buffer + frame.tail;
  const kvstore::ByteView whole = kvstore::AsBytes(encoded);
  const auto again = wire::ParseChunk(wire::Pieces(&whole, 1));
  KV_CHECK(again.ok() && again->canonical);
  KV_CHECK(again->hash == chunk.hash && again->tokens == chunk.tokens);
  KV_CHECK(again->parent_hash == chunk.parent_hash && again->buffer.size == chunk.buffer.size);
  KV_CHECK(again->partition_key == chunk.partition_key);
  KV_CHECK(again->completion_id == chunk.completion_id);
  KV_CHECK(again->prefix_digest == chunk.prefix_digest);
  if (!chunk.tokens.empty()) KV_CHECK(wire::PartitionOf(whole) == chunk.partition_key);
}

// The processor's own instructions give what plain C++ does.
void CheckVarints(kvstore::ByteView bytes) {
  std::vector<uint64_t> fast(wire::CountVarints(bytes)), plain(fast.size());
  const size_t used = wire::DecodeVarints(bytes, fast.data());
  KV_CHECK(used == wire::DecodeVarintsPortably(bytes, plain.data()) && fast == plain);
  // Taken as tokens where all of it can be decoded, and only then.
  kvstore::PackedTokens packed;
  const bool taken = packed.Add([&](std::string* all) {
    all->append(kvstore::AsText(bytes));
    return true;
  });
  KV_CHECK(taken == (used == bytes.size()));
  if (!taken) return;
  const std::vector<kvstore::Token> tokens = packed.Unpack();
  KV_CHECK(std::equal(tokens.begin(), tokens.end(), fast.begin(), fast.end(),
                      [](kvstore::Token a, uint64_t b) { return static_cast<uint64_t>(a) == b; }));
  kvstore::ByteView left = bytes;
  for (size_t i = 0; i < packed.blocks(); ++i) {
    std::vector<kvstore::Token> block(kvstore::kBlockTokens);
    left =
        left.subspan(kvstore::UnpackBlock(left, std::span(block).first<kvstore::kBlockTokens>()));
    KV_CHECK(std::equal(block.begin(), block.end(), &tokens[i * kvstore::kBlockTokens]));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const uint8_t which = data[0], step = data[1];
  kvstore::ByteView rest(reinterpret_cast<const std::byte*>(data) + 2, size - 2);
  std::vector<kvstore::ByteView> pieces;
  while (step > 0 && rest.size() > step && pieces.size() < 64) {
    pieces.push_back(rest.first(step));
    rest = rest.subspan(step);
  }
  pieces.push_back(rest);
  switch (which % 8) {
    case 0:
      if (const auto m = wire::ParseLookupRequest(pieces); m.ok()) {
        RoundTrip(*m, [](wire::Pieces again) { return wire::ParseLookupRequest(again); });
      }
      break;
    case 1:
      if (const auto m = wire::ParseLookupResponse(pieces); m.ok()) {
        RoundTrip(*m, wire::ParseLookupResponse);
      }
      break;
    case 2:
      (void)wire::ParseHealthCheckRequest(pieces);
      if (const auto m = wire::ParseReadRequest(pieces); m.ok())
        RoundTrip(*m, wire::ParseReadRequest);
      break;
    case 3:
      if (const auto m = wire::ParseReadResponse(pieces); m.ok()) CheckChunk(pieces, m->chunk);
      break;
    case 4:
      if (const auto m = wire::ParseWriteRequest(pieces); m.ok()) {
        CheckChunk(pieces, m->chunk);
        KV_CHECK(m->chunk_extent.offset + m->chunk_extent.size <= size - 2);
      }
      break;
    case 5:
      if (const auto m = wire::ParseWriteResponse(pieces); m.ok()) {
        RoundTrip(*m, wire::ParseWriteResponse);
      }
      break;
    case 6:
      CheckVarints(pieces.back());
      wire::PartitionOf(pieces.back());
      break;
    default:
      if (const auto m = wire::ParseChunk(pieces); m.ok()) CheckChunk(pieces, *m);
  }
  return 0;
}
