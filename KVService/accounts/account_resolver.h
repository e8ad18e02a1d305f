// Which accounts this server works with: where each is, by what right, and how much of it.
#ifndef KVSERVICE_ACCOUNTS_ACCOUNT_RESOLVER_H_
#define KVSERVICE_ACCOUNTS_ACCOUNT_RESOLVER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "KVService/accounts/credential_spec.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace kvstore {

struct Account {
  std::string name;  // as AccountNameOf gives it
  // The blob service's URL, http or https, without a '/' at its end. Empty: the connection string
  // that is its credential knows.
  std::string endpoint;
  CredentialSpec credential;
  std::vector<std::string> containers;  // that may be used; empty: all
  uint64_t quota_bytes = 0;             // 0: none
};

// Thread-safe, and quick: it asks no network and no disk.
class AccountResolver {
 public:
  virtual ~AccountResolver() = default;

  // Errors say which account or container is meant, what is known, and where to add it:
  //   NOT_FOUND          the account is not known
  //   PERMISSION_DENIED  the container is not one of the account's
  //   INVALID_ARGUMENT   the name cannot be that of an account
  // The answer never changes; another call may give another.
  virtual absl::StatusOr<std::shared_ptr<const Account>> Resolve(const std::string& account,
                                                                 const std::string& container) = 0;

  // Those that are known by name.
  virtual std::vector<std::shared_ptr<const Account>> Known() = 0;

  // Reads its configuration again, which blocks. After an error all is as it was.
  virtual absl::Status Reload() { return absl::OkStatus(); }
};

// OK if the account may use the container; else PERMISSION_DENIED, whose message ends in `advice`.
absl::Status CheckContainer(const Account& account, const std::string& container,
                            const std::string& advice);

// OK for 3 to 24 lower-case letters and digits, which is what Azure takes: such a name cannot turn
// the URL that it becomes a part of into another host's. INVALID_ARGUMENT otherwise.
absl::Status CheckAccountName(const std::string& account);

// OK for a URL that Account::endpoint may be; INVALID_ARGUMENT, without repeating it, otherwise.
absl::Status CheckEndpoint(const std::string& endpoint);

}  // namespace kvstore

#endif  // KVSERVICE_ACCOUNTS_ACCOUNT_RESOLVER_H_
