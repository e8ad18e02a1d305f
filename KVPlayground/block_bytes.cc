#include "KVPlayground/block_bytes.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace kvstore::playground {
namespace {

static_assert(std::endian::native == std::endian::little, "the stream is little-endian words");

// SplitMix64 over a counter: no word depends on the one before, so the processor works on several
// at once (8 GB/s and more), and any place of the stream is reached at once.
inline uint64_t Word(const BlockSeed& seed, uint64_t index) {
  uint64_t x = seed.start + index * 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return (x ^ (x >> 31)) ^ seed.salt;
}

constexpr size_t kWord = sizeof(uint64_t);
// Words compared before anyone looks at the outcome: a branch a word would cost half the speed.
constexpr size_t kStrideWords = 512;

// All differences of the words [first, first + count), or-ed together.
uint64_t Differences(const BlockSeed& seed, const std::byte* data, size_t first, size_t count) {
  uint64_t differences = 0;
  for (size_t i = first; i < first + count; ++i) {
    uint64_t got;
    std::memcpy(&got, data + i * kWord, kWord);
    differences |= got ^ Word(seed, i);
  }
  return differences;
}

}  // namespace

BlockSeed SeedOf(std::string_view partition, const Digest& prefix_digest) {
  // The digest has a fixed size, so no other pair gives the same concatenation.
  const ByteView parts[] = {std::as_bytes(std::span(prefix_digest)), AsBytes(partition)};
  const Digest digest = Sha256(parts);
  BlockSeed seed;
  std::memcpy(&seed.start, digest.data(), kWord);
  std::memcpy(&seed.salt, digest.data() + kWord, kWord);
  return seed;
}

void FillBlock(const BlockSeed& seed, std::span<std::byte> buffer) {
  const size_t words = buffer.size() / kWord;
  for (size_t i = 0; i < words; ++i) {
    const uint64_t word = Word(seed, i);
    std::memcpy(buffer.data() + i * kWord, &word, kWord);
  }
  const uint64_t last = Word(seed, words);
  const size_t tail = buffer.size() % kWord;
  if (tail > 0) std::memcpy(buffer.data() + words * kWord, &last, tail);
}

std::optional<size_t> FirstDifference(const BlockSeed& seed, std::span<const std::byte> buffer) {
  const size_t words = buffer.size() / kWord;
  size_t from = 0;
  while (from < words) {
    const size_t count = std::min(kStrideWords, words - from);
    if (Differences(seed, buffer.data(), from, count) != 0) break;
    from += count;
  }
  for (size_t offset = from * kWord; offset < buffer.size(); ++offset) {
    if (buffer[offset] != ByteAt(seed, offset)) return offset;
  }
  return std::nullopt;
}

std::byte ByteAt(const BlockSeed& seed, size_t offset) {
  return static_cast<std::byte>(Word(seed, offset / kWord) >> (offset % kWord * 8));
}

}  // namespace kvstore::playground
