#include "KVService/http/http_client.h"

#include "absl/strings/match.h"

namespace kvstore {

std::string_view HttpMethodName(HttpMethod method) {
  switch (method) {
    case HttpMethod::kGet:
      return "GET";
    case HttpMethod::kHead:
      return "HEAD";
    case HttpMethod::kPut:
      return "PUT";
    case HttpMethod::kPost:
      return "POST";
    case HttpMethod::kDelete:
      return "DELETE";
  }
  return "?";
}

const std::string* FindHeader(const HttpHeaders& headers, std::string_view name) {
  const absl::string_view wanted(name.data(), name.size());
  for (const HttpHeader& header : headers) {
    if (absl::EqualsIgnoreCase(header.name, wanted)) return &header.value;
  }
  return nullptr;
}

}  // namespace kvstore
