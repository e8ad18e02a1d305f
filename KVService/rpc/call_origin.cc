#include "KVService/rpc/call_origin.h"

#include <iterator>
#include <memory>
#include <optional>
#include <string_view>

#include "KVCommon/origin.h"

namespace kvstore {
namespace {

using Metadata = std::multimap<grpc::string_ref, grpc::string_ref>;

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
  auto origin = std::make_shared<Origin>(Origin{id ? *id : RequestId::New(), {}, {}});
  if (spans != nullptr) {
    origin->trace = spans->Begin(caller);
    if (caller) origin->caller_span = caller->span_id;
    record->timed = origin->trace.sampled;
  } else if (caller) {
    origin->trace = *caller;
  }
  record->origin = std::move(origin);
}

}  // namespace kvstore
