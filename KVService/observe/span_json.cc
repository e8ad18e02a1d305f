#include "KVService/observe/span_json.h"
#include "KVCommon/digest.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"

namespace kvstore {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kServer = 2, kInternal = 1;  // SpanKind
constexpr int kError = 2;                  // StatusCode
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

// Where the blocks of a read were: the slowest tier that had one.
std::string_view TierOf(const RpcRecord& record) {
  if (record.stages.azure_us > 0) return "azure";
  if (record.stages.disk_us > 0) return "disk";
  for (const TimedStage& stage : record.timeline) {
    if (stage.name == "azure" || stage.name == "disk") return stage.name;
  }
  return "ram";
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
    list.push_back(Text("kvstore.tier", TierOf(record)));
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

void AddSpans(const FinishedCall& call, Json* spans) {
  const RpcRecord& record = call.record;
  const TraceContext& trace = record.origin->trace;
  const absl::Time came = call.ended - absl::Microseconds(call.total_us);
  Json span = Span(trace, record.origin->caller_span,
                   "kvstore.KVStoreService/" + std::string(record.rpc), kServer, came, call.ended);
  span["attributes"] = Attributes(record);
  if (IsError(record.code)) span["status"] = {{"code", kError}};
  spans->push_back(std::move(span));
  for (const TimedStage& stage : record.timeline) {
    spans->push_back(Span({trace.trace_id, NewSpanId(), true}, trace.span_id, stage.name, kInternal,
                          came + absl::Microseconds(stage.from_us),
                          came + absl::Microseconds(std::min(stage.until_us, call.total_us))));
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
