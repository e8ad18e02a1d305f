// What proves our right to an account, as plain data; storage makes credentials of it.
#ifndef KVSERVICE_ACCOUNTS_CREDENTIAL_SPEC_H_
#define KVSERVICE_ACCOUNTS_CREDENTIAL_SPEC_H_

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

namespace kvstore {

enum class CredentialKind {
  kDefault,           // the first that the server's environment has
  kAccountKey,        // account_key
  kSas,               // sas
  kConnectionString,  // connection_string
  kManagedIdentity,   // client_id, none: the system-assigned one
  kWorkloadIdentity,  // client_id, tenant_id, federated_token_file, authority_host
  kClientSecret,      // client_id, tenant_id, client_secret, authority_host
  kAnonymous,
};

// Its name in the accounts file, such as "account_key".
std::string_view CredentialKindName(CredentialKind kind);
std::optional<CredentialKind> CredentialKindOf(std::string_view name);

// The values that a kind knows, as above, and which of them it cannot do without. The others of
// workload identity and client secret default to Azure's environment variables.
struct CredentialField {
  std::string_view name;
  bool required = false;
};
const std::vector<CredentialField>& CredentialFields(CredentialKind kind);

struct CredentialSpec {
  CredentialKind kind = CredentialKind::kDefault;
  std::map<std::string, std::string> values;  // some are secrets: not for messages or logs

  // Empty if there is none.
  std::string Value(const std::string& name) const {
    const auto it = values.find(name);
    return it == values.end() ? std::string() : it->second;
  }
  bool operator==(const CredentialSpec& other) const {
    return kind == other.kind && values == other.values;
  }
  bool operator<(const CredentialSpec& other) const {
    return std::tie(kind, values) < std::tie(other.kind, other.values);
  }
};

}  // namespace kvstore

#endif  // KVSERVICE_ACCOUNTS_CREDENTIAL_SPEC_H_
