// Protobuf's varints in bulk: a Lookup is thousands of tokens. Internal to KVCommon.
#ifndef KVCOMMON_VARINTS_H_
#define KVCOMMON_VARINTS_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "KVCommon/slice.h"

namespace kvstore::wire {

inline constexpr size_t kMaxVarintSize = 10;

// What follows the place of the values that PutVarints writes may be overwritten for so many bytes.
inline constexpr size_t kVarintSlack = 16;

// Bits by sevens, 1 for none: 9/64 is 1/7 up to 64.
constexpr size_t VarintSize(uint64_t value) {
  return (static_cast<size_t>(std::bit_width(value | 1)) * 9 + 64) / 64;
}

// Writes the values one behind another; returns where they end. Those that fit into three bytes, as
// tokens of today's vocabularies do, take a third of a nanosecond each where the processor has
// SSSE3.
std::byte* PutVarints(std::byte* at, std::span<const uint64_t> values);

// The same of values that have all three bytes at most, so that the room for them is known without
// a look at them; null where one is larger.
inline constexpr size_t kSmallVarintSize = 3;
std::byte* PutSmallVarints(std::byte* at, std::span<const uint64_t> values);

// As PutVarints, in portable code, for the tests and for other processors: 1.4 ns each.
std::byte* PutVarintsPortably(std::byte* at, std::span<const uint64_t> values);

// Signed ones count as their two's complement, as protobuf has it.
inline std::span<const uint64_t> Unsigned(std::span<const int64_t> values) {
  return {reinterpret_cast<const uint64_t*>(values.data()), values.size()};
}
inline std::byte* PutVarints(std::byte* at, std::span<const int64_t> values) {
  return PutVarints(at, Unsigned(values));
}

// How many varints end within the bytes.
size_t CountVarints(ByteView bytes);

// How many varints the bytes are; none where they are not whole ones of at most ten bytes.
std::optional<size_t> CountWholeVarints(ByteView bytes);

// The bytes that the first `count` varints take. REQUIRES: that many end within `bytes`.
size_t SizeOfVarints(ByteView bytes, size_t count);

// One varint; the bytes that it takes, 0 where it does not end within ten or `size`.
size_t DecodeVarint(const std::byte* at, size_t size, uint64_t* value);

// Decodes the varints of `bytes` one behind the other, as far as they end within it, into `values`,
// which has room for CountVarints. Returns the bytes taken; short of the last one that ends where a
// varint is longer than ten bytes, which none may be.
size_t DecodeVarints(ByteView bytes, uint64_t* values);

// The same in portable code, for the tests and for other processors.
size_t DecodeVarintsPortably(ByteView bytes, uint64_t* values);

}  // namespace kvstore::wire

#endif  // KVCOMMON_VARINTS_H_
