// The playground's input: tokens files and traces.
#include "KVCommon/status_macros.h"
#include "KVPlayground/tokens_file.h"
#include "KVPlayground/trace_file.h"

namespace playground = kvstore::playground;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 2 == 0) {
    const auto prompts = playground::ParseTokens(text);
    if (!prompts.ok()) KV_CHECK(!prompts.status().message().empty());
    return 0;
  }
  playground::Trace trace;
  if (playground::ParseTraceLine(text, 512, &trace).ok()) {
    for (const auto& request : trace.requests) {
      KV_CHECK(request.id_count * 512 >= request.input_length);
      if (request.input_length > 100'000) continue;
      std::vector<kvstore::Token> tokens;
      playground::ExpandTokens(trace, request, 512, &tokens);
      KV_CHECK(tokens.size() == request.input_length);
    }
  }
  return 0;
}
