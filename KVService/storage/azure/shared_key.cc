#include "KVService/storage/azure/shared_key.h"

#include <map>
#include <set>

#include "KVService/storage/azure/crypto.h"
#include "KVService/storage/azure/url.h"
#include "absl/strings/ascii.h"

namespace kvstore::azure {

namespace {

std::string LowerCase(std::string_view text) {
  return absl::AsciiStrToLower(absl::string_view(text.data(), text.size()));
}

std::string CanonicalHeaders(const HttpHeaders& headers) {
  std::map<std::string, std::string> sorted;
  for (const HttpHeader& header : headers) {
    std::string name = LowerCase(header.name);
    if (name.rfind("x-ms-", 0) != 0) continue;
    sorted[std::move(name)] = std::string(absl::StripAsciiWhitespace(header.value));
  }
  std::string text;
  for (const auto& [name, value] : sorted) text.append(name).append(":").append(value).append("\n");
  return text;
}

std::string CanonicalResource(std::string_view url, std::string_view account) {
  const UrlParts parts = SplitUrl(url);
  std::map<std::string, std::multiset<std::string>> sorted;
  for (const auto& [name, value] : parts.query) sorted[LowerCase(name)].insert(value);
  std::string text = "/" + std::string(account) + parts.path;
  for (const auto& [name, values] : sorted) {
    text += "\n" + name;
    char separator = ':';
    for (const std::string& value : values) {
      text += separator + value;
      separator = ',';
    }
  }
  return text;
}

}  // namespace

std::string StringToSign(const HttpRequest& request, std::string_view account) {
  const auto header = [&](std::string_view name) {
    const std::string* value = FindHeader(request.headers, name);
    return value == nullptr ? std::string() : *value;
  };
  size_t length = 0;
  for (const Slice& part : request.body) length += part.size();
  std::string text(HttpMethodName(request.method));
  text += "\n" + header("Content-Encoding") + "\n" + header("Content-Language");
  text += "\n" + (length == 0 ? std::string() : std::to_string(length));
  for (const char* name : {"Content-MD5", "Content-Type", "Date", "If-Modified-Since", "If-Match",
                           "If-None-Match", "If-Unmodified-Since", "Range"}) {
    // The date of x-ms-date takes the place of Date's.
    const bool superseded = std::string_view(name) == "Date" && !header("x-ms-date").empty();
    text += "\n" + (superseded ? std::string() : header(name));
  }
  return text + "\n" + CanonicalHeaders(request.headers) + CanonicalResource(request.url, account);
}

std::string SharedKeyAuthorization(const HttpRequest& request, std::string_view account,
                                   std::string_view key) {
  return "SharedKey " + std::string(account) + ":" +
         HmacSha256Base64(key, StringToSign(request, account));
}

}  // namespace kvstore::azure
