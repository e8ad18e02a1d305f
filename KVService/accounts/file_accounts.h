// Accounts as a JSON file lists them (accounts_json.h).
#ifndef KVSERVICE_ACCOUNTS_FILE_ACCOUNTS_H_
#define KVSERVICE_ACCOUNTS_FILE_ACCOUNTS_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "KVService/accounts/account_resolver.h"
#include "KVService/accounts/environment.h"
#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace kvstore {

struct FileAccountsOptions {
  std::string path;  // secrets' paths that are relative are so to its directory
  std::string blob_suffix;
  Environment environment;
  // Says what else makes an account unusable, and which, such as a key that is no key; empty:
  // nothing.
  std::function<absl::Status(const Account&)> check;
};

class FileAccounts : public AccountResolver {
 public:
  // As Reload, which must go well.
  static absl::StatusOr<std::unique_ptr<FileAccounts>> Open(FileAccountsOptions options);

  absl::StatusOr<std::shared_ptr<const Account>> Resolve(const std::string& account,
                                                         const std::string& container) override
      ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<std::shared_ptr<const Account>> Known() override ABSL_LOCKS_EXCLUDED(mutex_);

  // Reads the file and the secrets' files again. All of it counts from now on, or, after an error
  // that names the file and the line or key in it, nothing. Calls that run keep what they have.
  absl::Status Reload() override ABSL_LOCKS_EXCLUDED(mutex_, reload_mutex_);

 private:
  using Accounts = std::map<std::string, std::shared_ptr<const Account>>;

  explicit FileAccounts(FileAccountsOptions options) : options_(std::move(options)) {}

  absl::StatusOr<Accounts> Read() const;
  std::shared_ptr<const Accounts> Current() ABSL_LOCKS_EXCLUDED(mutex_);

  const FileAccountsOptions options_;

  absl::Mutex reload_mutex_ ABSL_ACQUIRED_BEFORE(mutex_);  // one at a time, or the older may win
  absl::Mutex mutex_;
  std::shared_ptr<const Accounts> accounts_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace kvstore

#endif  // KVSERVICE_ACCOUNTS_FILE_ACCOUNTS_H_
