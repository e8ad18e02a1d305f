// The accounts file's text, understood.
//
//   {"accounts": [{"name": "acct",
//                  "endpoint": "https://acct.blob.core.windows.net",
//                  "credential": {"kind": "account_key", "account_key_file": "acct.key"},
//                  "containers": ["kvstore"],
//                  "quota_bytes": 0}]}
//
// All but the name may be left out: the endpoint is then https://<name>.<suffix> (or, with a
// connection string, that one's), the credential the default one, all containers are allowed, and
// there is no quota. Kinds and their values are those of credential_spec.h. Instead of a value "x",
// "x_file" names a file that holds it, and "x_env" an environment variable, so that secrets need
// not be in this file. A name may be any that AccountNameOf gives, where there is an endpoint.
#ifndef KVSERVICE_ACCOUNTS_ACCOUNTS_JSON_H_
#define KVSERVICE_ACCOUNTS_ACCOUNTS_JSON_H_

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "KVService/accounts/account_resolver.h"
#include "KVService/accounts/environment.h"
#include "absl/status/statusor.h"

namespace kvstore {

inline constexpr size_t kMaxAccountsFileBytes = 4 << 20;

struct AccountsContext {
  std::string blob_suffix;
  Environment environment;
  // A secret of that path, which is as the file has it.
  std::function<absl::StatusOr<std::string>(const std::string& path)> read_secret;
};

// In the file's order. INVALID_ARGUMENT for what is no JSON, by line and column, for keys that are
// unknown or given twice, and for values that make no sense, by their place ("accounts[1].name").
// No message holds a value of a credential.
absl::StatusOr<std::vector<Account>> ParseAccounts(std::string_view json,
                                                   const AccountsContext& context);

}  // namespace kvstore

#endif  // KVSERVICE_ACCOUNTS_ACCOUNTS_JSON_H_
