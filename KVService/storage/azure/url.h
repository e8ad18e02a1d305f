// Percent-encoding and the parts of a URL, as signing and request building need them.
#ifndef KVSERVICE_STORAGE_AZURE_URL_H_
#define KVSERVICE_STORAGE_AZURE_URL_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace kvstore::azure {

// All but RFC 3986's unreserved characters becomes %XX; '/' too, unless it separates a path.
std::string EncodePath(std::string_view path);
std::string EncodeQueryValue(std::string_view value);

// What is no valid %XX stays as it is.
std::string PercentDecode(std::string_view text);

struct UrlParts {
  std::string path;                                        // as written; "/" if there is none
  std::vector<std::pair<std::string, std::string>> query;  // decoded, in order
};
UrlParts SplitUrl(std::string_view url);

// The URL with `parameters` ("a=b&c=d", encoded) behind those it has.
std::string WithParameters(std::string url, std::string_view parameters);

}  // namespace kvstore::azure

#endif  // KVSERVICE_STORAGE_AZURE_URL_H_
