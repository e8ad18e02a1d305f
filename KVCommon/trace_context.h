// W3C Trace Context, level 1: the header `traceparent`, by which one who asks tells another which
// trace the work belongs to. https://www.w3.org/TR/trace-context-1/
//
//   00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
//   version, trace id, id of the caller's span, flags (bit 0: sampled)
//
// `tracestate` is not passed on: nothing here reads it, and only the trace id joins spans.
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

// Random, and not all 0. Cheap: a generator a thread, no system call. Not for secrets.
TraceId NewTraceId();
SpanId NewSpanId();
// Evenly from [0, 1).
double RandomShare();

}  // namespace kvstore

#endif  // KVCOMMON_TRACE_CONTEXT_H_
