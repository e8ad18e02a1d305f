#include "KVService/store/prefix_digester.h"

#include <cstring>

namespace kvstore {
namespace {

// No branch on the tokens, so that the compiler makes vectors of it.
bool SameTokens(const std::array<uint32_t, kBlockTokens>& kept, BlockTokens block) {
  uint64_t difference = 0;
  for (size_t i = 0; i < kBlockTokens; ++i) {
    difference |= static_cast<uint64_t>(block[i]) ^ kept[i];
  }
  return difference == 0;
}

}  // namespace

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
  if (entries_.empty()) entries_.resize(kEntries);
  Entry& entry = entries_[PlaceOf(previous, block)];
  if (entry.used && entry.first == !previous && (!previous || entry.previous == *previous) &&
      SameTokens(entry.tokens, block)) {
    ++hits_;
    return entry.result;
  }
  entry.result = {PrefixDigest(previous, block), TokensCrc(block)};
  entry.used = true;
  entry.first = !previous;
  if (previous) entry.previous = *previous;
  for (size_t i = 0; i < kBlockTokens; ++i) {
    entry.tokens[i] = static_cast<uint32_t>(block[i]);
    entry.used &= static_cast<uint64_t>(block[i]) == entry.tokens[i];
  }
  return entry.result;
}

}  // namespace kvstore
