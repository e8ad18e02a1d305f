// Which credential counts where none is named: the first that the environment has.
#ifndef KVSERVICE_STORAGE_AZURE_DEFAULT_CREDENTIAL_H_
#define KVSERVICE_STORAGE_AZURE_DEFAULT_CREDENTIAL_H_

#include <optional>
#include <string>

#include "KVService/accounts/account_resolver.h"
#include "KVService/accounts/credential_spec.h"
#include "KVService/accounts/environment.h"
#include "absl/status/statusor.h"

namespace kvstore::azure {

// The first of these that is configured, by its variables:
//   1. account key        AZURE_STORAGE_KEY, of AZURE_STORAGE_ACCOUNT
//   2. SAS                AZURE_STORAGE_SAS_TOKEN, of AZURE_STORAGE_ACCOUNT
//   3. connection string  AZURE_STORAGE_CONNECTION_STRING, of the account that it names
//   4. managed identity   IDENTITY_ENDPOINT and IDENTITY_HEADER (App Service), or
//   `managed_identity`
//   5. workload identity  AZURE_FEDERATED_TOKEN_FILE, AZURE_CLIENT_ID, AZURE_TENANT_ID
//   6. client secret      AZURE_CLIENT_SECRET, AZURE_CLIENT_ID, AZURE_TENANT_ID
// and where nothing at all is configured, managed identity: on a machine in Azure it needs no
// configuration, elsewhere it fails within two seconds, and at once for a while after that.
// AZURE_CLIENT_ID names the identity of 4 too, AZURE_AUTHORITY_HOST the authority of 5 and 6.
//
// What 1 to 3 hold for other accounts is no credential for this one; if nothing else is configured,
// this account has none: NOT_FOUND. What is configured by half, such as a secret without a tenant,
// is INVALID_ARGUMENT rather than passed over. Asks neither the network nor the disk, and gives the
// same as long as the environment is.
absl::StatusOr<CredentialSpec> DefaultCredential(const std::string& account,
                                                 const Environment& environment,
                                                 bool managed_identity = false);

// What workload identity and client secret leave open, from the environment.
CredentialSpec WithEnvironment(CredentialSpec spec, const Environment& environment);

// The account of AZURE_STORAGE_CONNECTION_STRING, under its own name and with its own endpoint, for
// RuleAccounts, whose rule would look for it elsewhere; with the default credential. None where the
// variable is unset. INVALID_ARGUMENT for a broken one.
absl::StatusOr<std::optional<Account>> AccountOfEnvironment(const Environment& environment);

}  // namespace kvstore::azure

#endif  // KVSERVICE_STORAGE_AZURE_DEFAULT_CREDENTIAL_H_
