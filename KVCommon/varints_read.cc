#include "KVCommon/varints.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#if defined(__x86_64__) && defined(__GNUC__)
#define KV_SSSE3 1
#include <immintrin.h>
#endif

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

#ifdef KV_SSSE3
// Four varints of up to three bytes, by which of the twelve bytes from the first on have the top
// bit (after Plaisance, Kurz and Lemire, "Vectorized VByte Decoding", 2015). Where the next four
// begin waits for `size` alone: both tables are small, so that it comes from the processor's first
// cache.
struct Four {
  uint8_t size = 0;     // of all; 0 where one of them is longer
  uint8_t lengths = 0;  // which of kUnpackings
};

using Unpacking = std::array<uint8_t, 16>;  // which byte comes to each place of four times four

// By the four lengths, a ternary digit each.
constexpr auto kUnpackings = [] {
  std::array<Unpacking, 81> unpackings{};
  for (unsigned lengths = 0; lengths < unpackings.size(); ++lengths) {
    unpackings[lengths].fill(0x80);  // a zero
    uint8_t at = 0;
    for (unsigned value = 0, left = lengths; value < 4; ++value, left /= 3) {
      for (unsigned i = 0; i <= left % 3; ++i) unpackings[lengths][4 * value + i] = at++;
    }
  }
  return unpackings;
}();

constexpr auto kFours = [] {
  std::array<Four, 4096> fours{};
  for (unsigned tops = 0; tops < fours.size(); ++tops) {
    unsigned at = 0, lengths = 0;
    for (unsigned value = 0, digit = 1; value < 4 && at < 12; ++value, digit *= 3) {
      unsigned more = 0;
      while (more < 3 && (tops >> (at + more) & 1) != 0) ++more;
      at = more < 3 ? at + more + 1 : 13;
      lengths += more * digit;
    }
    if (at <= 12) fours[tops] = {static_cast<uint8_t>(at), static_cast<uint8_t>(lengths)};
  }
  return fours;
}();

// The top bits of 64 bytes.
__attribute__((target("ssse3"))) uint64_t TopBits(const std::byte* at) {
  uint64_t tops = 0;
  for (int i = 3; i >= 0; --i) {
    const __m128i chunk = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at + 16 * i));
    tops = tops << 16 | static_cast<unsigned>(_mm_movemask_epi8(chunk));
  }
  return tops;
}

// A stretch of whole varints, and where their values go.
struct Stretch {
  ByteView left;
  uint64_t* values;
};

constexpr size_t kWindow = 64;

// Decodes most of the next kWindow bytes; false where a varint does not end, which is next then.
// Where the next four begin depends on how long these are, and what that takes is the time that
// this takes: so the top bits of many bytes are fetched at once, and only a shift and a table are
// left.
__attribute__((target("ssse3"))) bool DecodeWindow(Stretch* stretch) {
  const __m128i zero = _mm_setzero_si128();
  const std::byte* const bytes = stretch->left.data();
  uint64_t* values = stretch->values;
  const uint64_t tops = TopBits(bytes);
  size_t i = 0;
  bool good = true;
  while (i <= kWindow - 16) {
    const Four step = kFours[tops >> i & 0xfff];
    if (step.size == 0) {  // a longer one among the four
      const size_t taken = DecodeOne(bytes + i, stretch->left.size() - i, values);
      if (taken == 0) {
        good = false;
        break;
      }
      i += taken;
      ++values;
      continue;
    }
    const auto* const chunk = reinterpret_cast<const __m128i*>(bytes + i);
    const auto* const from = reinterpret_cast<const __m128i*>(kUnpackings[step.lengths].data());
    const __m128i four = _mm_shuffle_epi8(_mm_loadu_si128(chunk), _mm_loadu_si128(from));
    const __m128i high = _mm_and_si128(_mm_srli_epi32(four, 2), _mm_set1_epi32(0x1fc000));
    const __m128i middle = _mm_and_si128(_mm_srli_epi32(four, 1), _mm_set1_epi32(0x3f80));
    const __m128i low = _mm_and_si128(four, _mm_set1_epi32(0x7f));
    const __m128i joined = _mm_or_si128(_mm_or_si128(low, middle), high);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(values), _mm_unpacklo_epi32(joined, zero));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(values + 2), _mm_unpackhi_epi32(joined, zero));
    i += step.size;
    values += 4;
  }
  *stretch = {stretch->left.subspan(i), values};
  return good;
}

// A window of each of several stretches in turn: the processor decodes one while it waits for what
// another's next step depends on.
size_t DecodeInTurn(ByteView bytes, uint64_t* values) {
  constexpr size_t kStretches = 4;
  constexpr size_t kWorthCutting = 2 * kStretches * kWindow;
  std::array<Stretch, kStretches> stretches{};
  size_t count = 0;
  for (size_t begin = 0; begin < bytes.size();) {
    size_t end = bytes.size();
    if (bytes.size() >= kWorthCutting && count + 1 < kStretches) {
      end = begin + (bytes.size() - begin) / (kStretches - count);
      while (end < bytes.size() && static_cast<uint8_t>(bytes[end - 1]) >= 0x80) ++end;
    }
    const ByteView stretch = bytes.subspan(begin, end - begin);
    stretches[count++] = {stretch, values};
    if (end < bytes.size()) values += CountVarints(stretch);
    begin = end;
  }
  for (bool more = true; more;) {
    more = false;
    for (size_t i = 0; i < count; ++i) {
      if (stretches[i].left.size() < kWindow) continue;
      more = DecodeWindow(&stretches[i]);
      if (!more) break;  // the end will meet it again
    }
  }
  for (size_t i = 0; i < count; ++i) {
    Stretch& it = stretches[i];
    const size_t taken = DecodeVarintsPortably(it.left, it.values);
    if (taken < it.left.size()) {
      return static_cast<size_t>(it.left.data() + taken - bytes.data());
    }
  }
  return bytes.size();
}
#endif

}  // namespace

size_t CountVarints(ByteView bytes) {
  size_t count = 0;
  size_t i = 0;
#ifdef __SSE2__
  // Sixteen counts of a byte each, taken up before one of them can overflow.
  constexpr size_t kWide = 16, kMost = 255 * kWide;
  while (i + kWide <= bytes.size()) {
    __m128i counts = _mm_setzero_si128();
    const size_t end = i + std::min(kMost, (bytes.size() - i) / kWide * kWide);
    for (; i < end; i += kWide) {
      const __m128i chunk = _mm_loadu_si128(reinterpret_cast<const __m128i*>(&bytes[i]));
      counts = _mm_sub_epi8(counts, _mm_cmpgt_epi8(chunk, _mm_set1_epi8(-1)));
    }
    const __m128i sums = _mm_sad_epu8(counts, _mm_setzero_si128());
    count += static_cast<size_t>(_mm_cvtsi128_si64(sums)) +
             static_cast<size_t>(_mm_cvtsi128_si64(_mm_unpackhi_epi64(sums, sums)));
  }
#endif
  for (; i + 8 <= bytes.size(); i += 8) {
    count += ((~Load(&bytes[i]) & kStops) >> 7) * 0x0101010101010101 >> 56;  // sums the bytes
  }
  for (; i < bytes.size(); ++i) count += static_cast<uint8_t>(bytes[i]) < 0x80;
  return count;
}

size_t DecodeVarints(ByteView bytes, uint64_t* values) {
#ifdef KV_SSSE3
  static const bool ssse3 = __builtin_cpu_supports("ssse3");
  if (ssse3) return DecodeInTurn(bytes, values);
#endif
  return DecodeVarintsPortably(bytes, values);
}

size_t DecodeVarintsPortably(ByteView bytes, uint64_t* values) {
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
