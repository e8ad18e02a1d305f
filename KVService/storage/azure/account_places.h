// The server's accounts as places of Azure Blob Storage.
#ifndef KVSERVICE_STORAGE_AZURE_ACCOUNT_PLACES_H_
#define KVSERVICE_STORAGE_AZURE_ACCOUNT_PLACES_H_

#include <string>
#include <utility>
#include <vector>

#include "KVService/accounts/account_resolver.h"
#include "KVService/storage/azure/azure_blob_store.h"
#include "KVService/storage/azure/credential_factory.h"

namespace kvstore {

// A container of ours is Azure's of the same name.
class AccountPlaces : public AzureResolver {
 public:
  // Both outlive it.
  AccountPlaces(AccountResolver* accounts, azure::CredentialFactory* credentials)
      : accounts_(accounts), credentials_(credentials) {}

  // Errors are those of the two, and INVALID_ARGUMENT for a container that Azure would not take.
  // Asks no network, so that a name that is wrong costs no request.
  absl::StatusOr<AzurePlace> Resolve(const std::string& account,
                                     const std::string& container) override;

  // The containers that accounts are limited to.
  std::vector<std::pair<std::string, std::string>> Known() override;

 private:
  AccountResolver* const accounts_;
  azure::CredentialFactory* const credentials_;
};

// OK for 3 to 63 lower-case letters, digits and hyphens, where a hyphen is neither first nor last
// nor behind another. INVALID_ARGUMENT otherwise, with this rule.
absl::Status CheckAzureContainer(const std::string& container);

}  // namespace kvstore

#endif  // KVSERVICE_STORAGE_AZURE_ACCOUNT_PLACES_H_
