#include "KVService/http/exchange_log.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <array>

#include "absl/strings/match.h"

namespace kvstore::http {

namespace {

constexpr std::string_view kRedacted = "REDACTED";
constexpr size_t kMaxValueBytes = 1500;  // a URL with the longest of names

// Of Blob Storage's requests. What an operator needs to follow one, and no more.
constexpr std::array<std::string_view, 10> kShownParameters = {
    "comp",        "restype", "include", "prefix",    "maxresults",
    "api-version", "timeout", "sv",      "appendpos", "delimiter"};

constexpr std::array<std::string_view, 24> kShownHeaders = {
    "accept",
    "cache-control",
    "connection",
    "content-length",
    "content-md5",
    "content-range",
    "content-type",
    "date",
    "etag",
    "if-match",
    "if-none-match",
    "last-modified",
    "range",
    "retry-after",
    "server",
    "transfer-encoding",
    "x-ms-blob-append-offset",
    "x-ms-blob-condition-appendpos",
    "x-ms-blob-type",
    "x-ms-client-request-id",
    "x-ms-date",
    "x-ms-error-code",
    "x-ms-request-id",
    "x-ms-version",
};

template <size_t kCount>
bool Shown(const std::array<std::string_view, kCount>& names, std::string_view name) {
  return std::any_of(names.begin(), names.end(), [name](std::string_view known) {
    return absl::EqualsIgnoreCase(absl::string_view(known.data(), known.size()),
                                  absl::string_view(name.data(), name.size()));
  });
}

// On one line, whatever a server sends.
std::string Printable(std::string_view value) {
  std::string text(value.substr(0, kMaxValueBytes));
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return text;
}

std::string DescribeHeaders(const HttpHeaders& headers) {
  std::string text;
  for (const HttpHeader& header : headers) {
    const bool shown = Shown(kShownHeaders, header.name);
    text += fmt::format("{}{}: {}", text.empty() ? "" : ", ", Printable(header.name),
                        shown ? Printable(header.value) : kRedacted);
  }
  return text;
}

}  // namespace

std::string WithoutQuery(std::string_view url) {
  url = url.substr(0, url.find_first_of("?#"));
  const size_t scheme = url.find("://");
  const size_t authority = scheme == std::string_view::npos ? 0 : scheme + 3;
  const size_t path = url.find('/', authority);
  const size_t at = url.substr(0, path).rfind('@');
  if (at == std::string_view::npos || at < authority) return Printable(url);
  return Printable(std::string(url.substr(0, authority)) + std::string(url.substr(at + 1)));
}

std::string RedactUrl(std::string_view url) {
  std::string text = WithoutQuery(url);
  const size_t begin = url.find('?');
  if (begin == std::string_view::npos) return text;
  std::string_view query = url.substr(begin + 1);
  char separator = '?';
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    const size_t equals = pair.find('=');
    const std::string_view name = pair.substr(0, equals);
    text += separator;
    if (equals == std::string_view::npos) {
      text += kRedacted;  // a value without a name, for all we know
    } else {
      const bool shown = Shown(kShownParameters, name);
      text += fmt::format("{}={}", Printable(name),
                          shown ? Printable(pair.substr(equals + 1)) : kRedacted);
    }
    separator = '&';
    query.remove_prefix(std::min(end + 1, query.size()));
  }
  return text;
}

std::string DescribeExchange(const HttpRequest& request, const absl::StatusOr<HttpResponse>& result,
                             absl::Duration time) {
  size_t sent = 0;
  for (const Slice& part : request.body) sent += part.size();
  std::string line = fmt::format("{} {} [{}] body={}", HttpMethodName(request.method),
                                 RedactUrl(request.url), DescribeHeaders(request.headers), sent);
  if (result.ok()) {
    line += fmt::format(" -> {} [{}] body={} sends={}", result->status,
                        DescribeHeaders(result->headers), result->body.size(), result->sends);
  } else {
    line += fmt::format(" -> {}", Printable(result.status().ToString()));
  }
  return line + fmt::format(" {:.1f} ms", absl::ToDoubleMilliseconds(time));
}

}  // namespace kvstore::http
