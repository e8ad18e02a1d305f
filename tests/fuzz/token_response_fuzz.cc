// What token endpoints answer, their errors too.
#include "KVCommon/status_macros.h"
#include "KVService/storage/azure/token_response.h"

namespace azure = kvstore::azure;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const absl::Time now = absl::FromUnixSeconds(1'700'000'000);
  const auto token = azure::ParseTokenResponse(text, now);
  if (token.ok()) {
    KV_CHECK(!token->value.empty() && token->value.size() <= azure::kMaxTokenBytes);
    for (const char c : token->value) KV_CHECK(c > 0x20 && c < 0x7f);  // fits a header
    KV_CHECK(token->expires > now && token->expires < absl::InfiniteFuture());
  } else {
    KV_CHECK(!token.status().message().empty());
  }
  // Not to be made of what is left when it is removed: nothing of REDACTED is in it.
  const std::string line = azure::DescribeTokenError(text, {"xyz"});
  KV_CHECK(line.find("xyz") == std::string::npos);
  for (const char c : line) KV_CHECK(c >= 0x20 && c < 0x7f);
  return 0;
}
