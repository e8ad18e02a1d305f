#include "KVService/storage/azure/default_credential.h"

#include <spdlog/fmt/fmt.h>

#include <tuple>
#include <utility>
#include <vector>

#include "KVCommon/status_macros.h"
#include "KVService/accounts/account_name.h"
#include "KVService/storage/azure/connection_string.h"

namespace kvstore::azure {

namespace {

using Kind = CredentialKind;
constexpr char kConnection[] = "AZURE_STORAGE_CONNECTION_STRING";

// None: this credential is not configured, or is another account's.
using Choice = absl::StatusOr<std::optional<CredentialSpec>>;

CredentialSpec Spec(Kind kind, std::map<std::string, std::string> values) {
  // An empty value is one that is not given.
  std::erase_if(values, [](const auto& entry) { return entry.second.empty(); });
  return {kind, std::move(values)};
}

// What is for certain accounts only. Adds to `others` what is there for another one.
Choice OfAccount(const std::string& account, const Environment& environment,
                 std::vector<std::string>& others) {
  const std::string named = environment("AZURE_STORAGE_ACCOUNT");
  const std::tuple<const char*, Kind, const char*> own[] = {
      {"AZURE_STORAGE_KEY", Kind::kAccountKey, "account_key"},
      {"AZURE_STORAGE_SAS_TOKEN", Kind::kSas, "sas"}};
  for (const auto& [variable, kind, value] : own) {
    const std::string secret = environment(variable);
    if (secret.empty()) continue;
    // Sent to any other account it would be in strangers' hands.
    if (named.empty()) {
      return absl::InvalidArgumentError(fmt::format(
          "{} is set, but AZURE_STORAGE_ACCOUNT does not say which account it is for", variable));
    }
    if (named == account) return Spec(kind, {{value, secret}});
    others.push_back(fmt::format("{} is for '{}'", variable, named));
  }
  KV_ASSIGN_OR_RETURN(const std::optional<Account> connected, AccountOfEnvironment(environment));
  if (connected.has_value()) {
    if (connected->name == account) {
      return Spec(Kind::kConnectionString, {{"connection_string", environment(kConnection)}});
    }
    others.push_back(fmt::format("{} is for '{}'", kConnection, connected->name));
  }
  return std::nullopt;
}

Choice AppService(const Environment& environment) {
  const bool endpoint = !environment("IDENTITY_ENDPOINT").empty();
  if (endpoint == environment("IDENTITY_HEADER").empty()) {
    return absl::InvalidArgumentError(
        "managed identity: one of IDENTITY_ENDPOINT and IDENTITY_HEADER is set, but not the other");
  }
  if (!endpoint) return std::nullopt;
  return Spec(Kind::kManagedIdentity, {{"client_id", environment("AZURE_CLIENT_ID")}});
}

// An application, if `variable`, its proof, is set.
Choice Application(Kind kind, const char* variable, const Environment& environment) {
  if (environment(variable).empty()) return std::nullopt;
  for (const char* needed : {"AZURE_CLIENT_ID", "AZURE_TENANT_ID"}) {
    if (!environment(needed).empty()) continue;
    return absl::InvalidArgumentError(fmt::format("{} is set, but {} is not", variable, needed));
  }
  return WithEnvironment(Spec(kind, {}), environment);
}

}  // namespace

absl::StatusOr<CredentialSpec> DefaultCredential(const std::string& account,
                                                 const Environment& environment,
                                                 bool managed_identity) {
  std::vector<std::string> others;
  KV_ASSIGN_OR_RETURN(const auto of_account, OfAccount(account, environment, others));
  if (of_account.has_value()) return *of_account;
  KV_ASSIGN_OR_RETURN(const auto app_service, AppService(environment));
  if (app_service.has_value()) return *app_service;
  const CredentialSpec metadata =
      Spec(Kind::kManagedIdentity, {{"client_id", environment("AZURE_CLIENT_ID")}});
  if (managed_identity) return metadata;
  KV_ASSIGN_OR_RETURN(const auto workload, Application(Kind::kWorkloadIdentity,
                                                       "AZURE_FEDERATED_TOKEN_FILE", environment));
  if (workload.has_value()) return *workload;
  KV_ASSIGN_OR_RETURN(const auto secret,
                      Application(Kind::kClientSecret, "AZURE_CLIENT_SECRET", environment));
  if (secret.has_value()) return *secret;
  if (others.empty()) return metadata;
  return absl::NotFoundError(fmt::format(
      "there is no credential for account '{}': {}; set one for it, or list it in an accounts file",
      account, fmt::join(others, ", ")));
}

CredentialSpec WithEnvironment(CredentialSpec spec, const Environment& environment) {
  const auto fill = [&](const char* name, const char* variable) {
    if (!spec.Value(name).empty()) return;
    if (std::string value = environment(variable); !value.empty()) {
      spec.values[name] = std::move(value);
    }
  };
  if (spec.kind == Kind::kWorkloadIdentity || spec.kind == Kind::kClientSecret) {
    fill("client_id", "AZURE_CLIENT_ID");
    fill("tenant_id", "AZURE_TENANT_ID");
    fill("authority_host", "AZURE_AUTHORITY_HOST");
  }
  if (spec.kind == Kind::kWorkloadIdentity) {
    fill("federated_token_file", "AZURE_FEDERATED_TOKEN_FILE");
  }
  if (spec.kind == Kind::kClientSecret) fill("client_secret", "AZURE_CLIENT_SECRET");
  return spec;
}

absl::StatusOr<std::optional<Account>> AccountOfEnvironment(const Environment& environment) {
  const std::string text = environment(kConnection);
  if (text.empty()) return std::nullopt;
  const auto connection = ParseConnectionString(text);
  if (!connection.ok()) {
    return absl::InvalidArgumentError(
        fmt::format("{}: {}", kConnection, std::string(connection.status().message())));
  }
  Account account;
  account.name = connection->account;
  if (account.name.empty()) {
    KV_ASSIGN_OR_RETURN(account.name, AccountNameOf(connection->endpoint));
  }
  account.endpoint = connection->endpoint;
  return account;
}

}  // namespace kvstore::azure
