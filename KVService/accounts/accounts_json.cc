#include "KVService/accounts/accounts_json.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "KVCommon/limits.h"
#include "KVCommon/status_macros.h"
#include "KVService/accounts/json_check.h"
#include "KVService/accounts/json_fields.h"

namespace kvstore {

namespace {

using nlohmann::json;

// A credential's value, from where it is.
absl::StatusOr<std::string> Value(const json& object, const std::string& name,
                                  const std::string& place, const AccountsContext& context) {
  KV_ASSIGN_OR_RETURN(std::string value, TextField(object, name, place));
  KV_ASSIGN_OR_RETURN(const std::string file, TextField(object, name + "_file", place));
  KV_ASSIGN_OR_RETURN(const std::string variable, TextField(object, name + "_env", place));
  if (!value.empty() + !file.empty() + !variable.empty() > 1) {
    return WrongField(place, fmt::format("give one of {0}, {0}_file and {0}_env", name));
  }
  if (!file.empty()) {
    absl::StatusOr<std::string> secret = context.read_secret(file);
    if (secret.ok()) return secret;
    return WrongField(place + "." + name + "_file", std::string(secret.status().message()));
  }
  if (!variable.empty()) {
    value = context.environment(variable.c_str());
    if (value.empty()) {
      return WrongField(place + "." + name + "_env",
                        fmt::format("the environment variable {} is not set", ShownText(variable)));
    }
  }
  return value;
}

absl::StatusOr<CredentialSpec> ParseCredential(const json& object, const std::string& place,
                                               const AccountsContext& context) {
  CredentialSpec spec;
  if (!object.is_object()) return WrongField(place, "must be an object");
  KV_ASSIGN_OR_RETURN(const std::string kind, TextField(object, "kind", place));
  const auto known = CredentialKindOf(kind);
  if (!known.has_value()) {
    return WrongField(place + ".kind",
                      "must be one of account_key, sas, connection_string, managed_identity, "
                      "workload_identity, client_secret, anonymous, default");
  }
  spec.kind = *known;
  std::set<std::string> keys = {"kind"};
  for (const CredentialField& field : CredentialFields(spec.kind)) {
    for (const char* suffix : {"", "_file", "_env"}) keys.insert(std::string(field.name) + suffix);
  }
  KV_RETURN_IF_ERROR(CheckKeys(object, place, keys));
  for (const CredentialField& field : CredentialFields(spec.kind)) {
    const std::string name(field.name);
    KV_ASSIGN_OR_RETURN(std::string value, Value(object, name, place, context));
    if (value.empty() && field.required) {
      return WrongField(
          place,
          fmt::format("a credential of kind {0} needs {1}, {1}_file or {1}_env", kind, name));
    }
    if (!value.empty()) spec.values[name] = std::move(value);
  }
  return spec;
}

absl::Status ParseContainers(const json& value, const std::string& place, Account& account) {
  if (!value.is_array())
    return WrongField(place, "must be a list of names; leave it out to allow all");
  // An empty list could as well mean that none is allowed.
  if (value.empty()) return WrongField(place, "is empty; leave it out to allow all");
  for (size_t i = 0; i < value.size(); ++i) {
    if (!value[i].is_string() || value[i].get_ref<const std::string&>().empty()) {
      return WrongField(fmt::format("{}[{}]", place, i), "must be a text that is not empty");
    }
    account.containers.push_back(value[i].get<std::string>());
  }
  return absl::OkStatus();
}

absl::Status ParseEndpoint(const json& object, const std::string& place,
                           const AccountsContext& context, Account& account) {
  KV_ASSIGN_OR_RETURN(account.endpoint, TextField(object, "endpoint", place));
  if (account.endpoint.empty()) {
    if (account.credential.kind == CredentialKind::kConnectionString) return absl::OkStatus();
    if (const absl::Status name = CheckAccountName(account.name); !name.ok()) {
      return WrongField(place + ".endpoint",
                        fmt::format("is needed, since {}", std::string(name.message())));
    }
    account.endpoint = fmt::format("https://{}.{}", account.name, context.blob_suffix);
    return absl::OkStatus();
  }
  while (account.endpoint.ends_with('/')) account.endpoint.pop_back();
  if (const absl::Status status = CheckEndpoint(account.endpoint); !status.ok()) {
    return WrongField(place + ".endpoint", std::string(status.message()));
  }
  return absl::OkStatus();
}

absl::StatusOr<Account> ParseAccount(const json& object, const std::string& place,
                                     const AccountsContext& context) {
  KV_RETURN_IF_ERROR(
      CheckKeys(object, place, {"name", "endpoint", "credential", "containers", "quota_bytes"}));
  Account account;
  KV_ASSIGN_OR_RETURN(account.name, TextField(object, "name", place));
  if (account.name.empty()) return WrongField(place + ".name", "is missing");
  if (account.name.size() > kMaxAccountBytes) {
    return WrongField(place + ".name", fmt::format("has more than {} bytes", kMaxAccountBytes));
  }
  if (const auto it = object.find("credential"); it != object.end()) {
    KV_ASSIGN_OR_RETURN(account.credential, ParseCredential(*it, place + ".credential", context));
  }
  KV_RETURN_IF_ERROR(ParseEndpoint(object, place, context, account));
  if (const auto it = object.find("containers"); it != object.end()) {
    KV_RETURN_IF_ERROR(ParseContainers(*it, place + ".containers", account));
  }
  if (const auto it = object.find("quota_bytes"); it != object.end()) {
    if (!it->is_number_unsigned()) {
      return WrongField(place + ".quota_bytes", "must be a whole number of bytes, 0 for none");
    }
    account.quota_bytes = it->get<uint64_t>();
  }
  return account;
}

}  // namespace

absl::StatusOr<std::vector<Account>> ParseAccounts(std::string_view text,
                                                   const AccountsContext& context) {
  KV_RETURN_IF_ERROR(CheckJson(text));
  const json root = json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  KV_RETURN_IF_ERROR(CheckKeys(root, "the file", {"accounts"}));
  const auto list = root.find("accounts");
  if (list == root.end() || !list->is_array()) return WrongField("accounts", "must be a list");
  std::vector<Account> accounts;
  std::set<std::string> names;
  for (size_t i = 0; i < list->size(); ++i) {
    const std::string place = fmt::format("accounts[{}]", i);
    KV_ASSIGN_OR_RETURN(Account account, ParseAccount((*list)[i], place, context));
    if (!names.insert(account.name).second) {
      return WrongField(place + ".name",
                        fmt::format("'{}' is given twice", ShownText(account.name)));
    }
    accounts.push_back(std::move(account));
  }
  return accounts;
}

}  // namespace kvstore
