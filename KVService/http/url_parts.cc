#include "KVService/http/url_parts.h"

#include <charconv>

namespace kvstore::http {

namespace {

// Host and port, without the user before them.
std::string_view AuthorityOf(std::string_view url) {
  const size_t scheme = url.find("://");
  if (scheme != std::string_view::npos) url.remove_prefix(scheme + 3);
  url = url.substr(0, url.find_first_of("/?#"));
  const size_t user = url.rfind('@');
  return user == std::string_view::npos ? url : url.substr(user + 1);
}

}  // namespace

std::string EndpointOf(std::string_view url) {
  const size_t scheme = url.find("://");
  const size_t host = scheme == std::string_view::npos ? 0 : scheme + 3;
  return std::string(url.substr(0, url.find_first_of("/?#", host)));
}

std::string HostOf(std::string_view url) {
  const std::string_view authority = AuthorityOf(url);
  if (authority.starts_with('[')) return std::string(authority.substr(1, authority.find(']') - 1));
  return std::string(authority.substr(0, authority.find(':')));
}

uint16_t PortOf(std::string_view url) {
  const std::string_view authority = AuthorityOf(url);
  const size_t bracket = authority.find(']');  // an IPv6 address has colons of its own
  const size_t colon = authority.find(':', bracket == std::string_view::npos ? 0 : bracket);
  if (colon == std::string_view::npos) return url.starts_with("https:") ? 443 : 80;
  uint16_t port = 0;
  const char* const end = authority.data() + authority.size();
  const auto [stop, error] = std::from_chars(authority.data() + colon + 1, end, port);
  return error == std::errc() && stop == end ? port : uint16_t{0};
}

}  // namespace kvstore::http
