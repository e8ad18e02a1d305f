// Azure Storage connection strings: "Name=value;Name=value".
#ifndef KVSERVICE_STORAGE_AZURE_CONNECTION_STRING_H_
#define KVSERVICE_STORAGE_AZURE_CONNECTION_STRING_H_

#include <memory>
#include <string>
#include <string_view>

#include "KVService/storage/azure/credential.h"
#include "absl/status/statusor.h"

namespace kvstore::azure {

// What a connection string says about blobs.
struct Connection {
  std::string account;   // may be empty where only a BlobEndpoint is given
  std::string endpoint;  // the blob service's URL, without a '/' at its end
  std::shared_ptr<Credential> credential;
};

// Understands BlobEndpoint, AccountName, DefaultEndpointsProtocol, EndpointSuffix, AccountKey,
// SharedAccessSignature, and UseDevelopmentStorage=true, which is an emulator on this machine under
// its published account and key. Names that it does not know (of other services) are no error. A
// signature wins over a key. INVALID_ARGUMENT otherwise; no message holds a key or signature.
absl::StatusOr<Connection> ParseConnectionString(std::string_view text);

// That of AZURE_STORAGE_CONNECTION_STRING; NOT_FOUND where the variable is unset or empty.
absl::StatusOr<Connection> ConnectionFromEnvironment();

}  // namespace kvstore::azure

#endif  // KVSERVICE_STORAGE_AZURE_CONNECTION_STRING_H_
