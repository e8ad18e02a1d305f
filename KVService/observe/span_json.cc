#include "KVService/observe/span_json.h"
#include "KVCommon/digest.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"

namespace kvstore {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kInternal = 1, kServer = 2, kClient = 3;  // SpanKind
constexpr int kError = 2;                               // StatusCode
constexpr uint32_t kSampledFlag = 1;

Json Text(std::string_view key, std::string_view value) {
  return {{"key", key}, {"value", {{"stringValue", value}}}};
}

Json Number(std::string_view key, int64_t value) {
  return {{"key", key}, {"value", {{"intValue", std::to_string(value)}}}};
}

std::string Nanos(absl::Time time) { return std::to_string(absl::ToUnixNanos(time)); }

// What OpenTelemetry's conventions call an error of a server, rather than of its caller.
bool IsError(std::string_view code) {
  return code == "UNKNOWN" || code == "DEADLINE_EXCEEDED" || code == "UNIMPLEMENTED" ||
         code == "INTERNAL" || code == "UNAVAILABLE" || code == "DATA_LOSS";
}

Json Attributes(const RpcRecord& record) {
  Json list = {Text("rpc.system", "grpc"),
               Text("rpc.service", "kvstore.KVStoreService"),
               Text("rpc.method", record.rpc),
               Number("rpc.grpc.status_code", static_cast<int64_t>(GrpcCodeOf(record.code))),
               Text("kvstore.request_id", record.origin->request_id.view()),
               Number("kvstore.blocks", record.blocks),
               Number("kvstore.found", record.found),
               Number("kvstore.bytes", record.bytes)};
  if (record.found > 0 && record.rpc != "Write")
    list.push_back(Text("kvstore.tier", kTierNames[static_cast<size_t>(record.stages.tier())]));
  if (!record.completion_id.empty()) {
    list.push_back(Text("kvstore.completion_id", record.completion_id));
  }
  if (!record.identity.empty()) list.push_back(Text("kvstore.identity", record.identity));
  if (record.untimed > 0) list.push_back(Number("kvstore.stages_left_out", record.untimed));
  return list;
}

Json Span(const TraceContext& context, const SpanId& parent, std::string_view name, int kind,
          absl::Time from, absl::Time until) {
  Json span = {{"traceId", ToHex(context.trace_id)}, {"spanId", ToHex(context.span_id)}};
  if (parent != SpanId{}) span["parentSpanId"] = ToHex(parent);
  span["flags"] = kSampledFlag;
  span["name"] = name;
  span["kind"] = kind;
  span["startTimeUnixNano"] = Nanos(from);
  span["endTimeUnixNano"] = Nanos(until);
  return span;
}

// What the Pipeline tries again, or would.
bool IsFailure(int http_status) {
  return http_status == 0 || http_status == 408 || http_status == 429 || http_status >= 500;
}

Json RequestAttributes(const TracedRequest& request) {
  Json list = {Text("http.request.method", request.method), Text("server.address", request.host)};
  if (request.port != 0) list.push_back(Number("server.port", request.port));
  if (request.status != 0) list.push_back(Number("http.response.status_code", request.status));
  if (request.attempt > 1) {
    list.push_back(Number("http.request.resend_count", request.attempt - 1));
  }
  return list;
}

void AddSpans(const FinishedCall& call, Json* spans) {
  const RpcRecord& record = call.record;
  const TraceContext& trace = record.origin->trace;
  const absl::Time came = call.ended - absl::Microseconds(call.total_us);
  Json span = Span(trace, record.origin->caller_span,
                   "kvstore.KVStoreService/" + std::string(record.rpc), kServer, came, call.ended);
  const std::string& state = record.origin->tracestate;
  if (!state.empty()) span["traceState"] = state;
  span["attributes"] = Attributes(record);
  if (IsError(record.code)) span["status"] = {{"code", kError}};
  spans->push_back(std::move(span));
  const auto child = [&](const SpanId& id, std::string_view name, int kind, int64_t from_us,
                         int64_t until_us) {
    Json one = Span({trace.trace_id, id, true}, trace.span_id, name, kind,
                    came + absl::Microseconds(std::min(from_us, call.total_us)),
                    came + absl::Microseconds(std::min(until_us, call.total_us)));
    if (!state.empty()) one["traceState"] = state;
    return one;
  };
  for (const TimedStage& stage : record.timeline) {
    spans->push_back(child(NewSpanId(), stage.name, kInternal, stage.from_us, stage.until_us));
  }
  for (const TracedRequest& request : call.requests) {
    Json one = child(request.span, request.method, kClient, request.from_us, request.until_us);
    one["attributes"] = RequestAttributes(request);
    if (IsFailure(request.status)) one["status"] = {{"code", kError}};
    spans->push_back(std::move(one));
  }
}

}  // namespace

std::string EncodeSpans(const SpanResource& resource, const std::deque<FinishedCall>& calls) {
  Json spans = Json::array();
  for (const FinishedCall& call : calls) AddSpans(call, &spans);
  Json of = {{"attributes",
              {Text("service.name", "kvstore"), Text("service.version", resource.version),
               Text("service.instance.id", resource.instance), Text("host.name", resource.host)}}};
  Json scope = {{"scope", {{"name", "kvstore"}, {"version", resource.version}}},
                {"spans", std::move(spans)}};
  Json from = {{"resource", std::move(of)}, {"scopeSpans", Json::array({std::move(scope)})}};
  const Json request = {{"resourceSpans", Json::array({std::move(from)})}};
  // A caller's text may be no UTF-8.
  return request.dump(-1, ' ', false, Json::error_handler_t::replace);
}

uint64_t RejectedSpans(std::string_view answer) {
  const Json json = Json::parse(answer, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("partialSuccess")) return 0;
  const Json& partial = json["partialSuccess"];
  if (!partial.is_object() || !partial.contains("rejectedSpans")) return 0;
  const Json& rejected = partial["rejectedSpans"];
  if (rejected.is_number_unsigned()) return rejected.get<uint64_t>();
  uint64_t number = 0;
  if (!rejected.is_string() || !absl::SimpleAtoi(rejected.get_ref<const std::string&>(), &number)) {
    return 0;
  }
  return number;
}

}  // namespace kvstore
