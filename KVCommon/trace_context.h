// W3C Trace Context, level 1: the headers `traceparent`, by which one who asks tells another which
// trace the work belongs to, and `tracestate`, which tracing systems tell each other something in.
// https://www.w3.org/TR/trace-context-1/
//
//   00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
//   version, trace id, id of the caller's span, flags (bit 0: sampled)
#ifndef KVCOMMON_TRACE_CONTEXT_H_
#define KVCOMMON_TRACE_CONTEXT_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace kvstore {

using TraceId = std::array<uint8_t, 16>;
using SpanId = std::array<uint8_t, 8>;

struct TraceContext {
  TraceId trace_id{};  // all 0: no trace
  SpanId span_id{};    // of the one who asks; the parent of what the asked one does
  bool sampled = false;

  bool has_trace() const { return trace_id != TraceId{}; }
  bool operator==(const TraceContext&) const = default;
};

// nullopt for what the specification calls invalid. Of versions to come, which may have more behind
// the flags, what version 00 has is read.
std::optional<TraceContext> ParseTraceparent(std::string_view text);

// In version 00. REQUIRES: has_trace().
std::string FormatTraceparent(const TraceContext& context);

// What is passed on of a tracestate: its members as they are, in their order, without the spaces
// and empty members between them. Of more than kMaxTracestateBytes members go, as the specification
// says: those of more than 128 bytes first, then from the end. Empty for what it calls invalid: a
// malformed member, a key twice, more than 32 members.
inline constexpr size_t kMaxTracestateBytes = 512;
std::string FitTracestate(std::string_view text);

// Random, and not all 0. Cheap: a generator a thread, no system call. Not for secrets.
TraceId NewTraceId();
SpanId NewSpanId();
// Evenly from [0, 1).
double RandomShare();

}  // namespace kvstore

#endif  // KVCOMMON_TRACE_CONTEXT_H_
