// On whose behalf work is done: what a call's log lines, its spans and the requests that it causes
// elsewhere are joined by.
#ifndef KVCOMMON_ORIGIN_H_
#define KVCOMMON_ORIGIN_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "KVCommon/trace_context.h"
#include "KVCommon/traced_requests.h"

namespace kvstore {

// The metadata that carry them, in gRPC and, the last two, in HTTP.
inline constexpr char kRequestIdKey[] = "x-request-id";
inline constexpr char kTraceparentKey[] = "traceparent";
inline constexpr char kTracestateKey[] = "tracestate";

// 1 to 64 visible ASCII characters, without spaces: fit for a header, a log line, a URL's query
// once encoded. Holds no other memory.
class RequestId {
 public:
  static constexpr size_t kMaxBytes = 64;

  // 16 random hexadecimal digits.
  static RequestId New();
  // nullopt where the text is none.
  static std::optional<RequestId> Parse(std::string_view text);

  std::string_view view() const { return {bytes_.data(), size_}; }

 private:
  RequestId() = default;

  uint8_t size_ = 0;
  std::array<char, kMaxBytes> bytes_;
};

// Immutable once shared.
struct Origin {
  RequestId request_id = RequestId::New();

  // What those who are asked are told, in a traceparent: nothing where it has no trace. The span is
  // the server's own, of the call, where it keeps spans; else the caller's.
  TraceContext trace;
  SpanId caller_span{};    // that the call was made in; all 0: the server began the trace
  std::string tracestate;  // the caller's, fit to be passed on; empty: none

  // Null where no spans are kept of the call.
  std::shared_ptr<TracedRequests> requests;
};

}  // namespace kvstore

#endif  // KVCOMMON_ORIGIN_H_
