#include "KVService/rpc/call_origin.h"

#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "KVCommon/origin.h"

namespace kvstore {
namespace {

using Metadata = std::multimap<grpc::string_ref, grpc::string_ref>;

// All of them as one list, as HTTP has it; empty where there are none, or far too many bytes.
std::string TheList(const Metadata& metadata, const char* key) {
  constexpr size_t kMostBytes = 16 * kMaxTracestateBytes;
  std::string list;
  const auto [begin, end] = metadata.equal_range(key);
  for (auto it = begin; it != end; ++it) {
    if (list.size() + it->second.size() > kMostBytes) return "";
    if (it != begin) list += ',';
    list.append(it->second.data(), it->second.size());
  }
  return list;
}

// Empty where there is none, or more than one: which of them would count?
std::string_view TheOne(const Metadata& metadata, const char* key) {
  const auto [begin, end] = metadata.equal_range(key);
  if (begin == end || std::next(begin) != end) return {};
  return {begin->second.data(), begin->second.size()};
}

}  // namespace

void SetOrigin(const grpc::ServerContext& context, const SpanExporter* spans, RpcRecord* record) {
  const Metadata& metadata = context.client_metadata();
  const std::optional<RequestId> id = RequestId::Parse(TheOne(metadata, kRequestIdKey));
  const auto caller = ParseTraceparent(TheOne(metadata, kTraceparentKey));
  auto origin = std::make_shared<Origin>();
  if (id) origin->request_id = *id;
  if (caller) origin->tracestate = FitTracestate(TheList(metadata, kTracestateKey));
  if (spans != nullptr) {
    origin->trace = spans->Begin(caller);
    if (caller) origin->caller_span = caller->span_id;
    record->timed = origin->trace.sampled;
    if (record->timed) origin->requests = std::make_shared<TracedRequests>();
  } else if (caller) {
    origin->trace = *caller;
  }
  record->origin = std::move(origin);
}

}  // namespace kvstore
