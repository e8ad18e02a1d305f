// Shared Key: the signature of a request by an account's key, as of service version 2015-02-21.
// https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key
#ifndef KVSERVICE_STORAGE_AZURE_SHARED_KEY_H_
#define KVSERVICE_STORAGE_AZURE_SHARED_KEY_H_

#include <string>
#include <string_view>

#include "KVService/http/http_client.h"

namespace kvstore::azure {

// What is signed: the method, the standard headers, the x-ms- headers and the resource.
std::string StringToSign(const HttpRequest& request, std::string_view account);

// The Authorization header's value; `key` is raw bytes.
std::string SharedKeyAuthorization(const HttpRequest& request, std::string_view account,
                                   std::string_view key);

}  // namespace kvstore::azure

#endif  // KVSERVICE_STORAGE_AZURE_SHARED_KEY_H_
