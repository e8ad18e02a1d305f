#include "KVService/storage/azure/connection_string.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <utility>

#include "KVCommon/status_macros.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"

namespace kvstore::azure {

namespace {

// Microsoft's emulators all have this account; its key is public and protects nothing.
constexpr std::string_view kEmulatorAccount = "devstoreaccount1";
constexpr std::string_view kEmulatorKey =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

using Settings = std::map<std::string, std::string>;  // names in lower case

absl::StatusOr<Settings> Split(std::string_view text) {
  Settings settings;
  while (!text.empty()) {
    const size_t end = std::min(text.find(';'), text.size());
    const absl::string_view pair = absl::StripAsciiWhitespace(absl::string_view(text.data(), end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (pair.empty()) continue;
    // Keys and signatures end in '=' themselves.
    const size_t equals = pair.find('=');
    if (equals == absl::string_view::npos || equals == 0) {
      return absl::InvalidArgumentError("connection string: a part of it is not name=value");
    }
    settings[absl::AsciiStrToLower(pair.substr(0, equals))] = std::string(pair.substr(equals + 1));
  }
  return settings;
}

std::string Value(const Settings& settings, const char* name) {
  const auto it = settings.find(name);
  return it == settings.end() ? std::string() : it->second;
}

absl::StatusOr<Connection> Emulator(const Settings& settings) {
  std::string host = Value(settings, "developmentstorageproxyuri");
  if (host.empty()) host = "http://127.0.0.1";
  while (!host.empty() && host.back() == '/') host.pop_back();
  Connection connection;
  connection.account = std::string(kEmulatorAccount);
  connection.endpoint = fmt::format("{}:10000/{}", host, kEmulatorAccount);
  KV_ASSIGN_OR_RETURN(connection.credential,
                      MakeSharedKeyCredential(connection.account, kEmulatorKey));
  return connection;
}

absl::StatusOr<std::string> BlobEndpoint(const Settings& settings) {
  std::string endpoint = Value(settings, "blobendpoint");
  if (endpoint.empty()) {
    const std::string account = Value(settings, "accountname");
    if (account.empty()) {
      return absl::InvalidArgumentError(
          "connection string: it has neither a BlobEndpoint nor an AccountName");
    }
    std::string protocol = Value(settings, "defaultendpointsprotocol");
    std::string suffix = Value(settings, "endpointsuffix");
    endpoint = fmt::format("{}://{}.blob.{}", protocol.empty() ? "https" : protocol, account,
                           suffix.empty() ? "core.windows.net" : suffix);
  }
  if (!absl::StartsWith(endpoint, "http://") && !absl::StartsWith(endpoint, "https://")) {
    return absl::InvalidArgumentError(
        "connection string: the blob endpoint is neither http:// nor https://");
  }
  while (endpoint.back() == '/') endpoint.pop_back();
  return endpoint;
}

}  // namespace

absl::StatusOr<Connection> ParseConnectionString(std::string_view text) {
  KV_ASSIGN_OR_RETURN(const Settings settings, Split(text));
  if (absl::EqualsIgnoreCase(Value(settings, "usedevelopmentstorage"), "true")) {
    return Emulator(settings);
  }
  Connection connection;
  connection.account = Value(settings, "accountname");
  KV_ASSIGN_OR_RETURN(connection.endpoint, BlobEndpoint(settings));
  const std::string sas = Value(settings, "sharedaccesssignature");
  const std::string key = Value(settings, "accountkey");
  if (!sas.empty()) {
    KV_ASSIGN_OR_RETURN(connection.credential, MakeSasCredential(sas));
  } else if (key.empty()) {
    connection.credential = MakeAnonymousCredential();
  } else if (connection.account.empty()) {
    return absl::InvalidArgumentError("connection string: AccountKey needs an AccountName");
  } else {
    KV_ASSIGN_OR_RETURN(connection.credential, MakeSharedKeyCredential(connection.account, key));
  }
  return connection;
}

absl::StatusOr<Connection> ConnectionFromEnvironment() {
  const char* text = std::getenv("AZURE_STORAGE_CONNECTION_STRING");
  if (text == nullptr || *text == '\0') {
    return absl::NotFoundError("AZURE_STORAGE_CONNECTION_STRING is not set");
  }
  return ParseConnectionString(text);
}

}  // namespace kvstore::azure
