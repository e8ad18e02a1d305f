// URLs and headers of the HTTP client and of Azure's protocol: what is encoded comes back, what is
// logged has no secret, and what a server says of when to come back is a time.
#include "KVCommon/status_macros.h"
#include "KVService/http/exchange_log.h"
#include "KVService/storage/azure/credential.h"
#include "KVService/storage/azure/retry_policy.h"
#include "KVService/storage/azure/url.h"

namespace azure = kvstore::azure;
namespace http = kvstore::http;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  KV_CHECK(azure::PercentDecode(azure::EncodeQueryValue(text)) == text);
  KV_CHECK(azure::PercentDecode(azure::EncodePath(text)) == text);
  const azure::UrlParts parts =
      azure::SplitUrl("https://a.example/b?x=" + azure::EncodeQueryValue(text));
  KV_CHECK(parts.path == "/b" && parts.query.size() == 1 && parts.query[0].second == text);
  for (const auto& [name, value] : azure::SplitUrl(text).query) {
    KV_CHECK(name.size() + value.size() <= size);
  }
  azure::SplitUrl(azure::WithParameters(text, "a=b"));

  // Of a signature nothing is shown, whatever stands around it.
  constexpr std::string_view kSecret = "U0VDUkVUU0VDUkVU";
  if (text.find(kSecret) == std::string::npos && text.find('#') == std::string::npos) {
    const std::string url = text + "?" + text + "&sig=" + std::string(kSecret) + "&" + text;
    KV_CHECK(http::WithoutQuery(url).find(kSecret) == std::string::npos);
    KV_CHECK(http::RedactUrl(url).find(kSecret) == std::string::npos);
  }
  kvstore::HttpRequest request;
  request.url = text;
  request.headers = {{text, text}, {"Authorization", std::string(kSecret)}};
  kvstore::HttpResponse response;
  response.status = 503;
  response.headers = {{"Retry-After", text}, {"x-ms-retry-after-ms", text}, {text, text}};
  if (text.find(kSecret) == std::string::npos) {
    KV_CHECK(http::DescribeExchange(request, response, absl::Seconds(1)).find(kSecret) ==
             std::string::npos);
  }
  const absl::Time now = absl::FromUnixSeconds(1'700'000'000);
  if (const auto wait = azure::RetryAfter(response, now)) KV_CHECK(*wait >= absl::ZeroDuration());
  response.headers.erase(response.headers.begin() + 1);
  if (const auto wait = azure::RetryAfter(response, now)) KV_CHECK(*wait >= absl::ZeroDuration());
  const azure::RetryOptions options;
  const absl::Duration delay = azure::RetryDelay(options, 1, response, now, 0.5);
  KV_CHECK(delay >= absl::ZeroDuration() && delay <= options.max_retry_after + options.max_delay);
  azure::MakeSasCredential(text).status().IgnoreError();
  return 0;
}
