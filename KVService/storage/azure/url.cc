#include "KVService/storage/azure/url.h"

#include <algorithm>

#include "absl/strings/ascii.h"

namespace kvstore::azure {

namespace {

std::string Encode(std::string_view text, bool keep_slashes) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string encoded;
  encoded.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (absl::ascii_isalnum(byte) || c == '-' || c == '_' || c == '.' || c == '~' ||
        (c == '/' && keep_slashes)) {
      encoded += c;
    } else {
      encoded += '%';
      encoded += kHex[byte >> 4];
      encoded += kHex[byte & 15];
    }
  }
  return encoded;
}

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = absl::ascii_tolower(static_cast<unsigned char>(c));
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

}  // namespace

std::string EncodePath(std::string_view path) { return Encode(path, true); }
std::string EncodeQueryValue(std::string_view value) { return Encode(value, false); }

std::string PercentDecode(std::string_view text) {
  std::string decoded;
  decoded.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && HexValue(text[i + 1]) >= 0 &&
        HexValue(text[i + 2]) >= 0) {
      decoded += static_cast<char>(HexValue(text[i + 1]) * 16 + HexValue(text[i + 2]));
      i += 2;
    } else {
      decoded += text[i];
    }
  }
  return decoded;
}

UrlParts SplitUrl(std::string_view url) {
  UrlParts parts;
  const size_t scheme = url.find("://");
  if (scheme != std::string_view::npos) url.remove_prefix(scheme + 3);
  const size_t question = url.find('?');
  const std::string_view front = url.substr(0, question);
  const size_t slash = front.find('/');
  parts.path = slash == std::string_view::npos ? "/" : std::string(front.substr(slash));
  std::string_view query =
      question == std::string_view::npos ? std::string_view() : url.substr(question + 1);
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    if (pair.empty()) continue;
    const size_t equals = std::min(pair.find('='), pair.size());
    parts.query.emplace_back(PercentDecode(pair.substr(0, equals)),
                             PercentDecode(pair.substr(std::min(equals + 1, pair.size()))));
  }
  return parts;
}

std::string WithParameters(std::string url, std::string_view parameters) {
  if (parameters.empty()) return url;
  url += url.find('?') == std::string::npos ? '?' : '&';
  return url.append(parameters);
}

}  // namespace kvstore::azure
