// From descriptions of credentials to credentials: one object for each, so that tokens are shared.
#ifndef KVSERVICE_STORAGE_AZURE_CREDENTIAL_FACTORY_H_
#define KVSERVICE_STORAGE_AZURE_CREDENTIAL_FACTORY_H_

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "KVService/accounts/account_resolver.h"
#include "KVService/accounts/credential_spec.h"
#include "KVService/accounts/environment.h"
#include "KVService/storage/azure/credential.h"
#include "KVService/storage/azure/token_cache.h"
#include "KVService/storage/azure/token_request.h"
#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"

namespace kvstore::azure {

struct CredentialFactoryOptions {
  bool managed_identity = false;  // before workload identity and client secret, in the default one
  std::string imds_endpoint;      // empty: the address that it has in Azure
  TokenCacheOptions tokens;       // of each credential that needs any
};

// Thread-safe.
class CredentialFactory {
 public:
  // What the context holds outlives the credentials.
  CredentialFactory(const TokenContext& context, Environment environment,
                    CredentialFactoryOptions options = {});

  struct Made {
    std::shared_ptr<Credential> credential;
    std::string endpoint;  // of a connection string; else empty
  };

  // The same object for the same description as long as anybody uses it, and longer. A description
  // is that of an account where it is a key or says what is left to the environment. Errors, for
  // what makes no credential, name the account and hold no secret.
  absl::StatusOr<Made> Make(const std::string& account, const CredentialSpec& spec)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Whether the account can be used at all, for FileAccountsOptions::check.
  absl::Status Check(const Account& account) { return EndpointAnd(account).status(); }

  // As Make, with the account's own endpoint if it has one. INVALID_ARGUMENT if there is none.
  absl::StatusOr<Made> EndpointAnd(const Account& account) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  absl::StatusOr<Made> MakeNew(const std::string& account, const CredentialSpec& spec) const;
  absl::StatusOr<std::shared_ptr<TokenSource>> SourceOf(const CredentialSpec& spec) const;

  const TokenContext context_;
  const Environment environment_;
  const CredentialFactoryOptions options_;

  absl::Mutex mutex_;
  // By account, empty for those that are not of one.
  std::map<std::pair<std::string, CredentialSpec>, Made> made_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace kvstore::azure

#endif  // KVSERVICE_STORAGE_AZURE_CREDENTIAL_FACTORY_H_
