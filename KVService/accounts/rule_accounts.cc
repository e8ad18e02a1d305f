#include "KVService/accounts/rule_accounts.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <utility>

#include "KVCommon/status_macros.h"
#include "absl/strings/ascii.h"

namespace kvstore {

namespace {

bool IsDnsName(const std::string& name) {
  return !name.empty() && name.size() <= 200 && !name.starts_with('.') && !name.ends_with('.') &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return absl::ascii_isalnum(c) || c == '.' || c == '-';
         });
}

}  // namespace

absl::StatusOr<std::unique_ptr<RuleAccounts>> RuleAccounts::Make(std::string blob_suffix,
                                                                 std::vector<Account> given) {
  if (!IsDnsName(blob_suffix)) {
    return absl::InvalidArgumentError(
        fmt::format("blob suffix '{}' is no DNS name, such as {}", blob_suffix, kPublicBlobSuffix));
  }
  Accounts accounts;
  for (Account& account : given) {
    if (account.name.empty()) return absl::InvalidArgumentError("an account has no name");
    if (!account.endpoint.empty()) KV_RETURN_IF_ERROR(CheckEndpoint(account.endpoint));
    std::string name = account.name;
    accounts[std::move(name)] = std::make_shared<const Account>(std::move(account));
  }
  return std::unique_ptr<RuleAccounts>(
      new RuleAccounts(std::move(blob_suffix), std::move(accounts)));
}

absl::StatusOr<std::shared_ptr<const Account>> RuleAccounts::Resolve(const std::string& account,
                                                                     const std::string& container) {
  if (const auto it = given_.find(account); it != given_.end()) {
    KV_RETURN_IF_ERROR(CheckContainer(*it->second, container, "add it to the account"));
    return it->second;
  }
  KV_RETURN_IF_ERROR(CheckAccountName(account));
  auto found = std::make_shared<Account>();
  found->name = account;
  found->endpoint = fmt::format("https://{}.{}", account, suffix_);
  return found;
}

std::vector<std::shared_ptr<const Account>> RuleAccounts::Known() {
  std::vector<std::shared_ptr<const Account>> known;
  for (const auto& [name, account] : given_) known.push_back(account);
  return known;
}

}  // namespace kvstore
