// The identity that Azure gives a virtual machine, a container or an app: tokens without a secret.
#ifndef KVSERVICE_STORAGE_AZURE_MANAGED_IDENTITY_H_
#define KVSERVICE_STORAGE_AZURE_MANAGED_IDENTITY_H_

#include <memory>
#include <string>

#include "KVService/storage/azure/token_request.h"
#include "KVService/storage/azure/token_source.h"
#include "absl/time/time.h"

namespace kvstore::azure {

struct ManagedIdentityOptions {
  std::string client_id;  // of a user-assigned identity; empty: the system-assigned one
  // The instance metadata service (IMDS), at the same link-local address in every virtual machine.
  std::string imds_endpoint = "http://169.254.169.254";
  // Where it is not there nobody answers, not even with a refusal.
  absl::Duration imds_connect_timeout = absl::Seconds(2);
  // App Service, Functions and Container Apps have their own instead, by the variables
  // IDENTITY_ENDPOINT and IDENTITY_HEADER. Both or none.
  std::string app_service_endpoint;
  std::string app_service_header;  // a secret
};

// An IMDS that cannot be reached is FAILED_PRECONDITION, after imds_connect_timeout at most, and
// not worth another attempt.
std::shared_ptr<TokenSource> MakeManagedIdentitySource(const TokenContext& context,
                                                       const ManagedIdentityOptions& options);

}  // namespace kvstore::azure

#endif  // KVSERVICE_STORAGE_AZURE_MANAGED_IDENTITY_H_
