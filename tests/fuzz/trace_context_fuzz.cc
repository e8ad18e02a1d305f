// A call's metadata: its traceparent and its request id. And what a collector answers to spans.
#include "KVCommon/origin.h"
#include "KVCommon/status_macros.h"
#include "KVService/observe/span_json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto context = kvstore::ParseTraceparent(text)) {
    KV_CHECK(context->has_trace());
    const std::string again = kvstore::FormatTraceparent(*context);
    KV_CHECK(kvstore::ParseTraceparent(again) == context);
    // Whatever its version: what is passed on has its trace and its span.
    KV_CHECK(text.substr(2, 51) == std::string_view(again).substr(2, 51));
  }
  if (const auto id = kvstore::RequestId::Parse(text)) KV_CHECK(id->view() == text);
  kvstore::RejectedSpans(text);
  return 0;
}
