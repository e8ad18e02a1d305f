#include "KVService/accounts/credential_spec.h"

#include <array>
#include <utility>

namespace kvstore {

namespace {

using Kind = CredentialKind;

struct KindEntry {
  Kind kind;
  std::string_view name;
  std::vector<CredentialField> fields;
};

const std::vector<KindEntry>& Kinds() {
  // Never destroyed: threads may outlive the end of main.
  static const auto* const kinds = new std::vector<KindEntry>{
      {Kind::kDefault, "default", {}},
      {Kind::kAccountKey, "account_key", {{"account_key", true}}},
      {Kind::kSas, "sas", {{"sas", true}}},
      {Kind::kConnectionString, "connection_string", {{"connection_string", true}}},
      {Kind::kManagedIdentity, "managed_identity", {{"client_id"}}},
      {Kind::kWorkloadIdentity,
       "workload_identity",
       {{"client_id"}, {"tenant_id"}, {"federated_token_file"}, {"authority_host"}}},
      {Kind::kClientSecret,
       "client_secret",
       {{"client_id"}, {"tenant_id"}, {"client_secret"}, {"authority_host"}}},
      {Kind::kAnonymous, "anonymous", {}},
  };
  return *kinds;
}

}  // namespace

std::string_view CredentialKindName(CredentialKind kind) {
  return Kinds()[static_cast<size_t>(kind)].name;
}

std::optional<CredentialKind> CredentialKindOf(std::string_view name) {
  for (const KindEntry& entry : Kinds()) {
    if (entry.name == name) return entry.kind;
  }
  return std::nullopt;
}

const std::vector<CredentialField>& CredentialFields(CredentialKind kind) {
  return Kinds()[static_cast<size_t>(kind)].fields;
}

}  // namespace kvstore
