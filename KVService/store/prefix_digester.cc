#include "KVService/store/prefix_digester.h"

#include <cstring>

namespace kvstore {

// A few bytes of the first that any block has are enough: which blocks share a place is a matter of
// speed alone, and those that begin alike and have the same prefix are few.
size_t PrefixDigester::PlaceOf(const std::optional<Digest>& previous, ByteView packed) {
  uint64_t mix = 0;
  if (previous) std::memcpy(&mix, previous->data(), sizeof mix);
  // A token takes a byte at least.
  for (size_t i = 0; i + sizeof mix <= kBlockTokens; i += 24) {
    uint64_t word;
    std::memcpy(&word, &packed[i], sizeof word);
    mix = (mix ^ word) * 0x9E3779B97F4A7C15;
    mix ^= mix >> 29;
  }
  return (mix >> 32) % kEntries;
}

bool PrefixDigester::Entry::Is(const std::optional<Digest>& previous_digest, ByteView at) const {
  return packed_bytes > 0 && packed_bytes <= at.size() && first == !previous_digest &&
         (first || previous == *previous_digest) &&
         std::memcmp(packed.data(), at.data(), packed_bytes) == 0;
}

PrefixDigester::Block PrefixDigester::Run(const std::optional<Digest>& previous, ByteView packed) {
  entries_.GrowTo(kEntries);
  Entry& entry = entries_[PlaceOf(previous, packed)];
  if (entry.Is(previous, packed)) {
    ++hits_;
    return {entry.result, entry.packed_bytes};
  }
  std::array<Token, kBlockTokens> tokens;
  const size_t size = UnpackBlock(packed, tokens);
  const BlockDigest result{PrefixDigest(previous, tokens), TokensCrc(tokens)};
  if (size <= kMostPackedBytes) {
    entry.first = !previous;
    if (previous) entry.previous = *previous;
    entry.packed_bytes = static_cast<uint16_t>(size);
    std::memcpy(entry.packed.data(), packed.data(), size);
    entry.result = result;
  }
  return {result, size};
}

}  // namespace kvstore
