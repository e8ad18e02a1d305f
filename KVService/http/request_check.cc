#include "KVService/http/request_check.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <cctype>
#include <string_view>

#include "KVService/http/exchange_log.h"

namespace kvstore::http {

namespace {

bool IsToken(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) || c == '-' || c == '_' || c == '.';
  });
}

}  // namespace

absl::Status CheckRequest(const HttpRequest& request) {
  for (const HttpHeader& header : request.headers) {
    constexpr std::string_view kEndsTheLine("\r\n\0", 3);
    if (!IsToken(header.name) || header.value.find_first_of(kEndsTheLine) != std::string::npos) {
      return absl::InvalidArgumentError(fmt::format("{} {}: the header '{}' is malformed",
                                                    HttpMethodName(request.method),
                                                    WithoutQuery(request.url), header.name));
    }
  }
  return absl::OkStatus();
}

}  // namespace kvstore::http
