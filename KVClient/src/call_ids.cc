#include "KVClient/src/call_ids.h"

#include <utility>

#include "KVCommon/origin.h"

namespace kvstore::client {
namespace {

struct ThreadTrace {
  std::string traceparent;
  std::string request_id;
  std::string tracestate;
};

ThreadTrace& OfThisThread() {
  thread_local ThreadTrace trace;
  return trace;
}

}  // namespace

CallIds CallIds::Of(const CallOptions& call) {
  CallIds ids;
  // gRPC ends the process over metadata that is none.
  const auto given = RequestId::Parse(call.request_id);
  ids.request_id = given ? call.request_id : std::string(RequestId::New().view());
  if (const auto trace = ParseTraceparent(call.traceparent)) {
    ids.traceparent = FormatTraceparent(*trace);
    ids.tracestate = FitTracestate(call.tracestate);
  }
  return ids;
}

void CallIds::AddTo(grpc::ClientContext* context) const {
  context->AddMetadata(kRequestIdKey, request_id);
  if (!traceparent.empty()) context->AddMetadata(kTraceparentKey, traceparent);
  if (!tracestate.empty()) context->AddMetadata(kTracestateKey, tracestate);
}

CallOptions WithThreadTrace(CallOptions call) {
  call.traceparent = OfThisThread().traceparent;
  call.request_id = OfThisThread().request_id;
  call.tracestate = OfThisThread().tracestate;
  return call;
}

void SetThreadTrace(std::string traceparent, std::string request_id, std::string tracestate) {
  OfThisThread() = {std::move(traceparent), std::move(request_id), std::move(tracestate)};
}

}  // namespace kvstore::client
