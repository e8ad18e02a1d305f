#include "KVCommon/trace_context.h"

#include <cstring>

#include "KVCommon/digest.h"
#include "absl/random/random.h"

namespace kvstore {
namespace {

constexpr size_t kLength = 55;  // of version 00
constexpr uint8_t kSampled = 1;
constexpr uint8_t kNoVersion = 0xff;

// Upper case is invalid in a traceparent.
int ValueOf(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

// REQUIRES: 2 * size characters.
bool ReadHex(std::string_view text, uint8_t* bytes, size_t size) {
  for (size_t i = 0; i < size; ++i) {
    const int high = ValueOf(text[2 * i]), low = ValueOf(text[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    bytes[i] = static_cast<uint8_t>(high * 16 + low);
  }
  return true;
}

absl::InsecureBitGen& Generator() {
  thread_local absl::InsecureBitGen generator;
  return generator;
}

template <size_t kSize>
std::array<uint8_t, kSize> NewId() {
  std::array<uint8_t, kSize> id;
  do {
    for (size_t i = 0; i < kSize; i += sizeof(uint64_t)) {
      const uint64_t word = absl::Uniform<uint64_t>(Generator());
      std::memcpy(id.data() + i, &word, sizeof word);
    }
  } while (id == std::array<uint8_t, kSize>{});
  return id;
}

}  // namespace

std::optional<TraceContext> ParseTraceparent(std::string_view text) {
  if (text.size() < kLength) return std::nullopt;
  uint8_t version = 0, flags = 0;
  TraceContext context;
  const bool read = ReadHex(text, &version, 1) && text[2] == '-' &&
                    ReadHex(text.substr(3), context.trace_id.data(), context.trace_id.size()) &&
                    text[35] == '-' &&
                    ReadHex(text.substr(36), context.span_id.data(), context.span_id.size()) &&
                    text[52] == '-' && ReadHex(text.substr(53), &flags, 1);
  if (!read || version == kNoVersion) return std::nullopt;
  if (text.size() > kLength && (version == 0 || text[kLength] != '-')) return std::nullopt;
  if (!context.has_trace() || context.span_id == SpanId{}) return std::nullopt;
  context.sampled = (flags & kSampled) != 0;
  return context;
}

std::string FormatTraceparent(const TraceContext& context) {
  return "00-" + ToHex(context.trace_id) + '-' + ToHex(context.span_id) +
         (context.sampled ? "-01" : "-00");
}

TraceId NewTraceId() { return NewId<16>(); }

SpanId NewSpanId() { return NewId<8>(); }

double RandomShare() { return absl::Uniform(Generator(), 0.0, 1.0); }

}  // namespace kvstore
