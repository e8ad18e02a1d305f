// OTLP's JSON: identifiers in hexadecimal, 64-bit numbers as text.
// https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
#ifndef KVSERVICE_OBSERVE_SPAN_JSON_H_
#define KVSERVICE_OBSERVE_SPAN_JSON_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "KVService/observe/rpc_record.h"
#include "absl/time/time.h"

namespace kvstore {

// Who sends the spans.
struct SpanResource {
  std::string version;
  std::string host;
  std::string instance;  // unlike any other's
};

struct FinishedCall {
  static constexpr size_t kMaxTextBytes = 256;  // kept of a caller's text

  RpcRecord record;
  absl::Time ended;
  int64_t total_us = 0;

  std::vector<TracedRequest> requests;  // that were made elsewhere for it

  size_t spans() const { return 1 + record.timeline.size() + requests.size(); }
};

// An ExportTraceServiceRequest. REQUIRES: each call has an origin with a trace.
std::string EncodeSpans(const SpanResource& resource, const std::deque<FinishedCall>& calls);

// How many spans of a request its answer, an ExportTraceServiceResponse, says were refused; 0 for
// what is none.
uint64_t RejectedSpans(std::string_view answer);

}  // namespace kvstore

#endif  // KVSERVICE_OBSERVE_SPAN_JSON_H_
