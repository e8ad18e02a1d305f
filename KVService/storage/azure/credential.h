// What makes a request acceptable to a storage account.
#ifndef KVSERVICE_STORAGE_AZURE_CREDENTIAL_H_
#define KVSERVICE_STORAGE_AZURE_CREDENTIAL_H_

#include <memory>
#include <string>
#include <string_view>

#include "KVService/http/http_client.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"

namespace kvstore::azure {

// Thread-safe and shared by all requests of an account.
class Credential {
 public:
  using Done = absl::AnyInvocable<void(absl::StatusOr<HttpRequest>) &&>;

  virtual ~Credential() = default;

  // Gives the request back with what proves the caller's right; all else of it is in place. A
  // credential that needs no network calls `done` before it returns, others (tokens) when they can.
  // Runs anew for each attempt, since what it adds may expire.
  virtual void Authorize(HttpRequest request, Done done) = 0;

  // The service refused (401) a request that bore this Authorization header. Whether the request is
  // worth another Authorize, since that is going to add another one.
  virtual bool Refused(std::string_view /*authorization*/) { return false; }
};

// An account's key: signs each request (shared_key.h). INVALID_ARGUMENT unless the key is base64.
absl::StatusOr<std::shared_ptr<Credential>> MakeSharedKeyCredential(std::string account,
                                                                    std::string_view key_base64);

// A shared access signature, with or without its leading '?'. INVALID_ARGUMENT if it has no "sig".
absl::StatusOr<std::shared_ptr<Credential>> MakeSasCredential(std::string_view token);

// Nothing: for public containers, and endpoints whose URL has the signature in it.
std::shared_ptr<Credential> MakeAnonymousCredential();

}  // namespace kvstore::azure

#endif  // KVSERVICE_STORAGE_AZURE_CREDENTIAL_H_
