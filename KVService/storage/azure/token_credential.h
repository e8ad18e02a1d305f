// Microsoft Entra tokens as a credential: "Authorization: Bearer ...".
#ifndef KVSERVICE_STORAGE_AZURE_TOKEN_CREDENTIAL_H_
#define KVSERVICE_STORAGE_AZURE_TOKEN_CREDENTIAL_H_

#include <memory>
#include <string_view>

#include "KVService/storage/azure/credential.h"
#include "KVService/storage/azure/token_cache.h"

namespace kvstore::azure {

// A request waits for a token no longer than its own deadline. One that would carry a token over
// plain HTTP to another machine is refused with FAILED_PRECONDITION.
std::shared_ptr<Credential> MakeTokenCredential(std::shared_ptr<TokenCache> cache);

// https, or http that does not leave this machine (127.x.x.x, [::1], localhost).
bool KeepsSecrets(std::string_view url);

}  // namespace kvstore::azure

#endif  // KVSERVICE_STORAGE_AZURE_TOKEN_CREDENTIAL_H_
