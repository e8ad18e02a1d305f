// From a request's resource_name to the storage account that it means.
#ifndef KVSERVICE_ACCOUNTS_ACCOUNT_NAME_H_
#define KVSERVICE_ACCOUNTS_ACCOUNT_NAME_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace kvstore {

// The account's short name:
//   https://acct.blob.core.windows.net/…     acct: the host's first label
//   http://127.0.0.1:10000/devstoreaccount1  devstoreaccount1: behind an address or a bare host
//                                            name, the path's first segment
//   acct                                     what is no URL is taken as it is
// INVALID_ARGUMENT for an empty name or a URL that names no account.
absl::StatusOr<std::string> AccountNameOf(std::string_view resource_name);

}  // namespace kvstore

#endif  // KVSERVICE_ACCOUNTS_ACCOUNT_NAME_H_
