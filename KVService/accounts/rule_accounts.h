// Accounts without a file: every name is one, by rule.
#ifndef KVSERVICE_ACCOUNTS_RULE_ACCOUNTS_H_
#define KVSERVICE_ACCOUNTS_RULE_ACCOUNTS_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "KVService/accounts/account_resolver.h"

namespace kvstore {

inline constexpr char kPublicBlobSuffix[] = "blob.core.windows.net";

// An account is at https://<name>.<suffix>, with the default credential, all containers and no
// quota, but those that were given: one of a connection string, say, whose endpoint is its own.
class RuleAccounts : public AccountResolver {
 public:
  // Of several with a name the last counts. INVALID_ARGUMENT for a suffix that is no DNS name, or a
  // given account that is not as account_resolver.h says.
  static absl::StatusOr<std::unique_ptr<RuleAccounts>> Make(std::string blob_suffix,
                                                            std::vector<Account> given = {});

  absl::StatusOr<std::shared_ptr<const Account>> Resolve(const std::string& account,
                                                         const std::string& container) override;
  std::vector<std::shared_ptr<const Account>> Known() override;  // those that were given

 private:
  using Accounts = std::map<std::string, std::shared_ptr<const Account>>;

  RuleAccounts(std::string suffix, Accounts given)
      : suffix_(std::move(suffix)), given_(std::move(given)) {}

  const std::string suffix_;
  const Accounts given_;
};

}  // namespace kvstore

#endif  // KVSERVICE_ACCOUNTS_RULE_ACCOUNTS_H_
