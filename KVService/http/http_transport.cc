#include "KVService/http/http_transport.h"

#include <utility>

#include "KVCommon/status_macros.h"
#include "KVService/http/curl_http_client.h"
#ifdef _WIN32
#include "KVService/http/winhttp_client.h"
#endif

namespace kvstore {

std::vector<std::string> HttpTransports() {
#ifdef _WIN32
  return {"libcurl", "winhttp"};
#else
  return {"libcurl"};
#endif
}

std::unique_ptr<HttpClient> MakeHttpClient(std::string_view transport, HttpClientOptions options) {
#ifdef _WIN32
  if (transport == "winhttp") return std::make_unique<WinHttpClient>(std::move(options));
#endif
  KV_CHECK(transport == "libcurl");
  return std::make_unique<CurlHttpClient>(std::move(options));
}

}  // namespace kvstore
