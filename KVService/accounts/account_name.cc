#include "KVService/accounts/account_name.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <cctype>

#include "KVCommon/limits.h"

namespace kvstore {
namespace {

bool IsAddress(std::string_view host) {
  return host.starts_with('[') || std::all_of(host.begin(), host.end(), [](char c) {
           return c == '.' || (c >= '0' && c <= '9');
         });
}

std::string LowerCase(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower;
}

}  // namespace

absl::StatusOr<std::string> AccountNameOf(std::string_view resource_name) {
  if (resource_name.empty()) {
    return absl::InvalidArgumentError(
        "resource_name is missing: give the storage account's name or URL");
  }
  if (resource_name.size() > kMaxNameBytes) {
    return absl::InvalidArgumentError(
        fmt::format("resource_name is longer than {} bytes", kMaxNameBytes));
  }
  const size_t scheme = resource_name.find("://");
  if (scheme == std::string_view::npos) return std::string(resource_name);

  const std::string_view rest = resource_name.substr(scheme + 3);
  const std::string_view authority = rest.substr(0, rest.find_first_of("/?#"));
  std::string_view path = rest.substr(authority.size());
  const size_t bracket = authority.find(']');
  const size_t colon = authority.find(':', bracket == std::string_view::npos ? 0 : bracket);
  const std::string_view host = authority.substr(0, colon);

  // Host names are case-blind; an emulator's path is not.
  std::string account;
  const size_t dot = host.find('.');
  if (!IsAddress(host) && dot != std::string_view::npos) {
    account = LowerCase(host.substr(0, dot));
  } else {
    path.remove_prefix(std::min(path.find_first_not_of('/'), path.size()));
    account = path.substr(0, path.find_first_of("/?#"));
  }
  if (account.empty()) {
    return absl::InvalidArgumentError(fmt::format(
        "resource_name \"{}\" names no account; expected https://ACCOUNT.blob.core.windows.net, "
        "http://HOST:PORT/ACCOUNT, or a plain name",
        resource_name));
  }
  return account;
}

}  // namespace kvstore
