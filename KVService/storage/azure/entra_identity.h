// Applications of Microsoft Entra ID: OAuth 2.0's client credentials, proved by a federated token
// (workload identity) or by a secret.
#ifndef KVSERVICE_STORAGE_AZURE_ENTRA_IDENTITY_H_
#define KVSERVICE_STORAGE_AZURE_ENTRA_IDENTITY_H_

#include <memory>
#include <string>

#include "KVService/storage/azure/token_request.h"
#include "KVService/storage/azure/token_source.h"
#include "absl/status/statusor.h"

namespace kvstore::azure {

struct EntraOptions {
  std::string tenant_id;
  std::string client_id;
  std::string authority_host;  // empty: https://login.microsoftonline.com
};

// The token file is what Kubernetes projects into a pod; it is read anew for each exchange, since
// its content changes. INVALID_ARGUMENT, here and below, where an option is missing or no tenant's
// name, or where the authority is not https.
absl::StatusOr<std::shared_ptr<TokenSource>> MakeWorkloadIdentitySource(const TokenContext& context,
                                                                        const EntraOptions& options,
                                                                        std::string token_file);

absl::StatusOr<std::shared_ptr<TokenSource>> MakeClientSecretSource(const TokenContext& context,
                                                                    const EntraOptions& options,
                                                                    std::string secret);

}  // namespace kvstore::azure

#endif  // KVSERVICE_STORAGE_AZURE_ENTRA_IDENTITY_H_
