#include "KVService/accounts/file_accounts.h"

#include <spdlog/fmt/fmt.h>

#include <filesystem>
#include <utility>

#include "KVCommon/status_macros.h"
#include "KVService/accounts/accounts_json.h"
#include "KVCommon/secret_file.h"

namespace kvstore {

namespace {

constexpr size_t kMaxNamesShown = 16;

std::string Names(const std::map<std::string, std::shared_ptr<const Account>>& accounts) {
  if (accounts.empty()) return "none";
  std::string names;
  size_t shown = 0;
  for (const auto& [name, account] : accounts) {
    if (shown == kMaxNamesShown)
      return names + fmt::format(" and {} more", accounts.size() - shown);
    names += (shown++ == 0 ? "" : ", ") + name;
  }
  return names;
}

}  // namespace

absl::StatusOr<std::unique_ptr<FileAccounts>> FileAccounts::Open(FileAccountsOptions options) {
  std::unique_ptr<FileAccounts> accounts(new FileAccounts(std::move(options)));
  KV_RETURN_IF_ERROR(accounts->Reload());
  return accounts;
}

absl::StatusOr<FileAccounts::Accounts> FileAccounts::Read() const {
  KV_ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(options_.path, kMaxAccountsFileBytes));
  AccountsContext context;
  context.blob_suffix = options_.blob_suffix;
  context.environment = options_.environment;
  context.read_secret = [this](const std::string& path) {
    return ReadSecretFile((std::filesystem::path(options_.path).parent_path() / path).string());
  };
  KV_ASSIGN_OR_RETURN(std::vector<Account> list, ParseAccounts(text, context));
  Accounts accounts;
  for (Account& account : list) {
    if (options_.check) KV_RETURN_IF_ERROR(options_.check(account));
    std::string name = account.name;
    accounts[std::move(name)] = std::make_shared<const Account>(std::move(account));
  }
  return accounts;
}

absl::Status FileAccounts::Reload() {
  absl::MutexLock reload(&reload_mutex_);
  absl::StatusOr<Accounts> accounts = Read();
  if (!accounts.ok()) {
    return absl::Status(accounts.status().code(),
                        fmt::format("accounts file {}: {}", options_.path,
                                    std::string(accounts.status().message())));
  }
  auto fresh = std::make_shared<const Accounts>(*std::move(accounts));
  absl::MutexLock lock(&mutex_);
  accounts_ = std::move(fresh);
  return absl::OkStatus();
}

std::shared_ptr<const FileAccounts::Accounts> FileAccounts::Current() {
  absl::MutexLock lock(&mutex_);
  return accounts_;
}

absl::StatusOr<std::shared_ptr<const Account>> FileAccounts::Resolve(const std::string& account,
                                                                     const std::string& container) {
  const std::shared_ptr<const Accounts> accounts = Current();
  const auto it = accounts->find(account);
  if (it == accounts->end()) {
    return absl::NotFoundError(fmt::format("account '{}' is not known, only {}; add it to {}",
                                           account, Names(*accounts), options_.path));
  }
  KV_RETURN_IF_ERROR(CheckContainer(*it->second, container, "add it in " + options_.path));
  return it->second;
}

std::vector<std::shared_ptr<const Account>> FileAccounts::Known() {
  std::vector<std::shared_ptr<const Account>> known;
  for (const auto& [name, account] : *Current()) known.push_back(account);
  return known;
}

}  // namespace kvstore
