#include "KVCommon/trace_context.h"

#include <algorithm>
#include <cstring>
#include <vector>

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

constexpr size_t kMostMembers = 32;
constexpr size_t kMaxKeyBytes = 256;
constexpr size_t kMaxTenantBytes = 241, kMaxSystemBytes = 14;  // of a key tenant@system
constexpr size_t kMaxValueBytes = 256;
constexpr size_t kLongMember = 128;  // longer ones are the first to go

bool IsLower(char c) { return c >= 'a' && c <= 'z'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }

bool IsKeyPart(std::string_view part, size_t most, bool may_begin_with_digit) {
  if (part.empty() || part.size() > most) return false;
  if (!IsLower(part[0]) && !(may_begin_with_digit && IsDigit(part[0]))) return false;
  return std::all_of(part.begin(), part.end(), [](char c) {
    return IsLower(c) || IsDigit(c) || c == '_' || c == '-' || c == '*' || c == '/';
  });
}

bool IsKey(std::string_view key) {
  const size_t at = key.find('@');
  if (at == std::string_view::npos) return IsKeyPart(key, kMaxKeyBytes, false);
  return IsKeyPart(key.substr(0, at), kMaxTenantBytes, true) &&
         IsKeyPart(key.substr(at + 1), kMaxSystemBytes, false);
}

// Visible ASCII and spaces, without ',' and '='; the spaces at its end were cut off.
bool IsValue(std::string_view value) {
  return !value.empty() && value.size() <= kMaxValueBytes &&
         std::all_of(value.begin(), value.end(),
                     [](char c) { return c >= ' ' && c <= '~' && c != ',' && c != '='; });
}

std::string_view WithoutSpaces(std::string_view text) {
  constexpr std::string_view kSpaces = " \t";
  const size_t begin = text.find_first_not_of(kSpaces);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpaces) - begin + 1);
}

// False: they are none, together.
bool SplitMembers(std::string_view text, std::vector<std::string_view>* members) {
  std::vector<std::string_view> keys;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string_view member = WithoutSpaces(text.substr(begin, end - begin));
    begin = end + 1;
    if (member.empty()) continue;
    const size_t equals = member.find('=');
    if (equals == std::string_view::npos || members->size() == kMostMembers) return false;
    const std::string_view key = member.substr(0, equals);
    if (!IsKey(key) || !IsValue(member.substr(equals + 1))) return false;
    if (std::find(keys.begin(), keys.end(), key) != keys.end()) return false;
    keys.push_back(key);
    members->push_back(member);
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

std::string FitTracestate(std::string_view text) {
  std::vector<std::string_view> members;
  if (!SplitMembers(text, &members)) return "";
  size_t bytes = 0;
  for (const std::string_view member : members) bytes += member.size() + 1;
  const auto drop = [&](std::vector<std::string_view>::iterator member) {
    bytes -= member->size() + 1;
    return members.erase(member);
  };
  // From the end: those at the front are of who touched it last.
  for (auto it = members.end(); it != members.begin() && bytes > kMaxTracestateBytes + 1;) {
    if ((--it)->size() > kLongMember) it = drop(it);
  }
  while (!members.empty() && bytes > kMaxTracestateBytes + 1) drop(members.end() - 1);
  std::string fit;
  for (const std::string_view member : members) {
    if (!fit.empty()) fit += ',';
    fit += member;
  }
  return fit;
}

TraceId NewTraceId() { return NewId<16>(); }

SpanId NewSpanId() { return NewId<8>(); }

double RandomShare() { return absl::Uniform(Generator(), 0.0, 1.0); }

}  // namespace kvstore
