#include "KVCommon/varints.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <optional>

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

// Whether it is a varint's last byte.
bool Ends(std::byte byte) { return static_cast<uint8_t>(byte) < 0x80; }

// How many of eight bytes are.
size_t EndsIn(uint64_t word) {
  return ((~word & kStops) >> 7) * 0x0101010101010101 >> 56;  // sums the bytes
}

// Joins the low seven bits of each byte.
uint64_t Join(uint64_t word) {
  word &= 0x7f7f7f7f7f7f7f7f;
  word = (word & 0x007f007f007f007f) | (word & 0x7f007f007f007f00) >> 1;
  word = (word & 0x00003fff00003fff) | (word & 0x3fff00003fff0000) >> 2;
  return (word & 0x000000000fffffff) | (word & 0x0fffffff00000000) >> 4;
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

constexpr size_t kWindow = 64;

// Where the next four begin depends on how long these are, and what that takes is the time that
// this takes: so the top bits of many bytes are fetched at once, and only a shift and a table are
// left.
__attribute__((target("ssse3"))) size_t DecodeByFours(ByteView bytes, uint64_t* values) {
  const __m128i zero = _mm_setzero_si128();
  size_t at = 0;
  while (bytes.size() - at >= kWindow) {
    const std::byte* const window = &bytes[at];
    const uint64_t tops = TopBits(window);
    size_t i = 0;
    while (i <= kWindow - 16) {
      const Four step = kFours[tops >> i & 0xfff];
      if (step.size == 0) {  // a longer one among the four
        const size_t taken = DecodeVarint(window + i, bytes.size() - at - i, values);
        if (taken == 0) return at + i;
        i += taken;
        ++values;
        continue;
      }
      const auto* const chunk = reinterpret_cast<const __m128i*>(window + i);
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
    at += i;
  }
  return at + DecodeVarintsPortably(bytes.subspan(at), values);
}
#endif

struct Seen {
  size_t ends = 0;         // of varints
  bool long_ones = false;  // may there be any of more than three bytes? Seldom.
};

// In one pass, for there are thousands.
Seen LookAt(ByteView bytes) {
  Seen seen;
  size_t i = 0;
#ifdef KV_SSSE3  // SSE2 is a part of it
  const auto load = [&](size_t at) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(&bytes[at]));
  };
  // Sixteen counts of a byte each, taken up before one of them can overflow.
  constexpr size_t kWide = 16, kMost = 255 * kWide, kAhead = 2;
  __m128i three = _mm_setzero_si128();  // top bits one behind another, wherever they are
  while (i + kWide + kAhead <= bytes.size()) {
    __m128i counts = _mm_setzero_si128();
    const size_t end = i + std::min(kMost, (bytes.size() - kAhead - i) / kWide * kWide);
    for (; i < end; i += kWide) {
      const __m128i chunk = load(i);
      counts = _mm_sub_epi8(counts, _mm_cmpgt_epi8(chunk, _mm_set1_epi8(-1)));
      three = _mm_or_si128(three, _mm_and_si128(_mm_and_si128(chunk, load(i + 1)), load(i + 2)));
    }
    const __m128i sums = _mm_sad_epu8(counts, _mm_setzero_si128());
    seen.ends += static_cast<size_t>(_mm_cvtsi128_si64(sums)) +
                 static_cast<size_t>(_mm_cvtsi128_si64(_mm_unpackhi_epi64(sums, sums)));
  }
  seen.long_ones = _mm_movemask_epi8(three) != 0;
#endif
  for (; i + 10 <= bytes.size(); i += 8) {
    seen.ends += EndsIn(Load(&bytes[i]));
    seen.long_ones |= (Load(&bytes[i]) & Load(&bytes[i + 1]) & Load(&bytes[i + 2]) & kStops) != 0;
  }
  for (; i < bytes.size(); ++i) {
    seen.ends += Ends(bytes[i]);
    seen.long_ones |= i + 2 < bytes.size() && !Ends(bytes[i] & bytes[i + 1] & bytes[i + 2]);
  }
  return seen;
}

}  // namespace

size_t DecodeVarint(const std::byte* at, size_t size, uint64_t* value) {
  uint64_t result = 0;
  size_t i = 0;
  if (size >= 8) {
    const uint64_t word = Load(at);
    if (const uint64_t stops = ~word & kStops) {
      const auto stop = static_cast<size_t>(std::countr_zero(stops));
      *value = Join(word << (63 - stop) >> (63 - stop));
      return stop / 8 + 1;
    }
    result = Join(word);
    i = 8;
  }
  for (; i < size && i < kMaxVarintSize; ++i) {
    const auto byte = static_cast<uint8_t>(at[i]);
    result |= static_cast<uint64_t>(byte & 0x7f) << (7 * i);  // bits past 64 fall off
    if (byte < 0x80) {
      *value = result;
      return i + 1;
    }
  }
  return 0;
}

size_t CountVarints(ByteView bytes) { return LookAt(bytes).ends; }

std::optional<size_t> CountWholeVarints(ByteView bytes) {
  if (bytes.empty()) return 0;
  if (!Ends(bytes.back())) return std::nullopt;
  const Seen seen = LookAt(bytes);
  if (seen.long_ones) {
    size_t begin = 0;
    for (size_t i = 0; i < bytes.size(); ++i) {
      if (i - begin == kMaxVarintSize) return std::nullopt;
      if (Ends(bytes[i])) begin = i + 1;
    }
  }
  return seen.ends;
}

size_t SizeOfVarints(ByteView bytes, size_t count) {
  size_t i = 0;
  for (; count >= 8; i += 8) count -= EndsIn(Load(&bytes[i]));
  for (; count > 0; ++i) count -= Ends(bytes[i]);
  return i;
}

size_t DecodeVarints(ByteView bytes, uint64_t* values) {
#ifdef KV_SSSE3
  static const bool ssse3 = __builtin_cpu_supports("ssse3");
  if (ssse3) return DecodeByFours(bytes, values);
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
      const size_t taken = DecodeVarint(at, static_cast<size_t>(end - at), values);
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
    const size_t taken = DecodeVarint(at, static_cast<size_t>(end - at), values);
    if (taken == 0) break;
    at += taken;
    ++values;
  }
  return static_cast<size_t>(at - bytes.data());
}

}  // namespace kvstore::wire
