#include "KVCommon/varints.h"

#include <array>
#include <cstring>

#if defined(__x86_64__) && defined(__GNUC__)
#define KV_SSSE3 1
#include <immintrin.h>
#endif

namespace kvstore::wire {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr uint64_t kThreeBytes = uint64_t{1} << (7 * kSmallVarintSize);

std::byte* PutAny(std::byte* at, uint64_t value) {
  for (; value >= 0x80; value >>= 7) *at++ = static_cast<std::byte>(value | 0x80);
  *at++ = static_cast<std::byte>(value);
  return at;
}

template <bool small_only>
std::byte* PutOneByOne(std::byte* at, std::span<const uint64_t> values) {
  for (const uint64_t value : values) {
    if (value >= kThreeBytes) {
      if constexpr (small_only) return nullptr;
      at = PutAny(at, value);
      continue;
    }
    // Without a branch on the size, which nobody could predict.
    const auto low = static_cast<uint32_t>(value);
    const uint32_t second = low >= 1u << 7;
    const uint32_t third = low >= 1u << 14;
    const uint32_t bytes =
        (low & 0x7f) | second << 7 | (low & 0x3f80) << 1 | third << 15 | (low & 0x1fc000) << 2;
    std::memcpy(at, &bytes, sizeof(bytes));
    at += 1 + second + third;
  }
  return at;
}

#ifdef KV_SSSE3
// How four varints of up to three bytes, in four bytes each, move together. Bit i of the index says
// that value i has a second byte, bit 4 + i that it has a third.
struct Packing {
  std::array<uint8_t, 16> from;  // which byte comes to each place
  size_t size;
};

constexpr auto kPackings = [] {
  std::array<Packing, 256> packings{};
  for (unsigned index = 0; index < packings.size(); ++index) {
    Packing& packing = packings[index];
    packing.from.fill(0x80);  // a zero
    for (unsigned value = 0; value < 4; ++value) {
      const unsigned bytes = 1 + (index >> value & 1) + (index >> (4 + value) & 1);
      for (unsigned i = 0; i < bytes; ++i) {
        packing.from[packing.size++] = static_cast<uint8_t>(4 * value + i);
      }
    }
  }
  return packings;
}();

bool HasSsse3() {
  static const bool has = __builtin_cpu_supports("ssse3");
  return has;
}

template <bool small_only>
__attribute__((target("ssse3"))) std::byte* PutByFours(std::byte* at,
                                                       std::span<const uint64_t> values) {
  size_t i = 0;
  for (; i + 4 <= values.size(); i += 4) {
    const uint64_t* const four = &values[i];
    if ((four[0] | four[1] | four[2] | four[3]) >= kThreeBytes) {
      if constexpr (small_only) return nullptr;
      for (size_t k = 0; k < 4; ++k) at = PutAny(at, four[k]);
      continue;
    }
    const __m128i low = _mm_castps_si128(
        _mm_shuffle_ps(_mm_loadu_ps(reinterpret_cast<const float*>(four)),
                       _mm_loadu_ps(reinterpret_cast<const float*>(four + 2)), 0x88));
    const __m128i second = _mm_cmpgt_epi32(low, _mm_set1_epi32((1 << 7) - 1));
    const __m128i third = _mm_cmpgt_epi32(low, _mm_set1_epi32((1 << 14) - 1));
    // Sevens spread to eights, with the high bit of every byte but the last.
    __m128i bytes = _mm_and_si128(low, _mm_set1_epi32(0x7f));
    bytes = _mm_or_si128(bytes, _mm_slli_epi32(_mm_and_si128(low, _mm_set1_epi32(0x3f80)), 1));
    bytes = _mm_or_si128(bytes, _mm_slli_epi32(_mm_and_si128(low, _mm_set1_epi32(0x1fc000)), 2));
    bytes = _mm_or_si128(bytes, _mm_and_si128(second, _mm_set1_epi32(0x80)));
    bytes = _mm_or_si128(bytes, _mm_and_si128(third, _mm_set1_epi32(0x8000)));
    const int index =
        _mm_movemask_ps(_mm_castsi128_ps(second)) | _mm_movemask_ps(_mm_castsi128_ps(third)) << 4;
    const Packing& packing = kPackings[static_cast<size_t>(index)];
    const __m128i from = _mm_loadu_si128(reinterpret_cast<const __m128i*>(packing.from.data()));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(at), _mm_shuffle_epi8(bytes, from));
    at += packing.size;
  }
  return PutOneByOne<small_only>(at, values.subspan(i));
}
#endif

}  // namespace

std::byte* PutVarints(std::byte* at, std::span<const uint64_t> values) {
#ifdef KV_SSSE3
  if (HasSsse3()) return PutByFours<false>(at, values);
#endif
  return PutVarintsPortably(at, values);
}

std::byte* PutSmallVarints(std::byte* at, std::span<const uint64_t> values) {
#ifdef KV_SSSE3
  if (HasSsse3()) return PutByFours<true>(at, values);
#endif
  return PutOneByOne<true>(at, values);
}

std::byte* PutVarintsPortably(std::byte* at, std::span<const uint64_t> values) {
  return PutOneByOne<false>(at, values);
}

}  // namespace kvstore::wire
