#include "KVService/store/prefix_digester.h"

#include <cstring>

namespace kvstore {
// A few tokens are enough: which blocks share a place is a matter of speed alone.
size_t PrefixDigester::PlaceOf(const std::optional<Digest>& previous, BlockTokens block) {
  uint64_t mix = 0;
  if (previous) std::memcpy(&mix, previous->data(), sizeof mix);
  for (size_t i = 0; i < kBlockTokens; i += 17) {
    mix = (mix ^ static_cast<uint64_t>(block[i])) * 0x9E3779B97F4A7C15;
  }
  return (mix >> 32) % kEntries;
}

BlockDigest PrefixDigester::Run(const std::optional<Digest>& previous, BlockTokens block) {
  entries_.GrowTo(kEntries);
  Entry& entry = entries_[PlaceOf(previous, block)];
  if (entry.used && entry.first == !previous && (!previous || entry.previous == *previous) &&
      std::memcmp(entry.tokens.data(), block.data(), block.size_bytes()) == 0) {
    ++hits_;
    return entry.result;
  }
  entry.result = {PrefixDigest(previous, block), TokensCrc(block)};
  entry.used = true;
  entry.first = !previous;
  if (previous) entry.previous = *previous;
  std::memcpy(entry.tokens.data(), block.data(), block.size_bytes());
  return entry.result;
}

}  // namespace kvstore
