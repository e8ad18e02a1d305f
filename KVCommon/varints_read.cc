#include "KVCommon/varints.h"

#include <bit>
#include <cstring>

namespace kvstore::wire {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr uint64_t kStops = 0x8080808080808080;  // the top bit of a varint's last byte is clear

uint64_t Load(const std::byte* at) {
  uint64_t word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

// Joins the low seven bits of each byte.
uint64_t Join(uint64_t word) {
  word &= 0x7f7f7f7f7f7f7f7f;
  word = (word & 0x007f007f007f007f) | (word & 0x7f007f007f007f00) >> 1;
  word = (word & 0x00003fff00003fff) | (word & 0x3fff00003fff0000) >> 2;
  return (word & 0x000000000fffffff) | (word & 0x0fffffff00000000) >> 4;
}

// One varint of any length; the bytes that it takes, 0 where it does not end within ten or `size`.
size_t DecodeOne(const std::byte* at, size_t size, uint64_t* value) {
  uint64_t result = 0;
  for (size_t i = 0; i < size && i < kMaxVarintSize; ++i) {
    const auto byte = static_cast<uint8_t>(at[i]);
    result |= static_cast<uint64_t>(byte & 0x7f) << (7 * i);  // bits past 64 fall off
    if (byte < 0x80) {
      *value = result;
      return i + 1;
    }
  }
  return 0;
}

}  // namespace

size_t CountVarints(ByteView bytes) {
  size_t count = 0;
  size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) count += std::popcount(~Load(&bytes[i]) & kStops);
  for (; i < bytes.size(); ++i) count += static_cast<uint8_t>(bytes[i]) < 0x80;
  return count;
}

size_t DecodeVarints(ByteView bytes, uint64_t* values) {
  const std::byte* at = bytes.data();
  const std::byte* const end = at + bytes.size();
  while (end - at >= 8) {
    const uint64_t word = Load(at);
    uint64_t stops = ~word & kStops;
    if (stops == 0) {  // nine or ten bytes: a negative token, or a hash
      const size_t taken = DecodeOne(at, static_cast<size_t>(end - at), values);
      if (taken == 0) return static_cast<size_t>(at - bytes.data());
      at += taken;
      ++values;
      continue;
    }
    // All varints that end in these eight bytes. Where the next word begins does not wait for them.
    at += (64 - static_cast<size_t>(std::countl_zero(stops))) / 8;
    size_t begin = 0;
    do {
      const auto stop = static_cast<size_t>(std::countr_zero(stops));
      *values++ = Join(word << (63 - stop) >> (63 - stop + begin));
      begin = stop + 1;
      stops &= stops - 1;
    } while (stops != 0);
  }
  while (at < end) {
    const size_t taken = DecodeOne(at, static_cast<size_t>(end - at), values);
    if (taken == 0) break;
    at += taken;
    ++values;
  }
  return static_cast<size_t>(at - bytes.data());
}

}  // namespace kvstore::wire
