// Where access tokens come from: one exchange with one endpoint. token_cache.h keeps and renews.
#ifndef KVSERVICE_STORAGE_AZURE_TOKEN_SOURCE_H_
#define KVSERVICE_STORAGE_AZURE_TOKEN_SOURCE_H_

#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace kvstore::azure {

// What tokens are asked for: Blob Storage, of any account.
inline constexpr char kStorageResource[] = "https://storage.azure.com/";

struct AccessToken {
  std::string value;   // printable, without spaces
  absl::Time expires;  // in the future when it was got
};

// What one exchange yielded.
struct TokenResult {
  absl::StatusOr<AccessToken> token;
  bool again = false;          // of an error: the same a little later may go well
  bool answered = false;       // the endpoint is there
  absl::Duration retry_after;  // what the endpoint asked for; zero: nothing
};

// Thread-safe.
class TokenSource {
 public:
  using Done = absl::AnyInvocable<void(TokenResult) &&>;

  virtual ~TokenSource() = default;

  // Which credential, and which endpoint: the beginning of every message about it.
  virtual const std::string& name() const = 0;

  // One exchange, ended by `deadline`. `done` runs once, outside locks, on any thread. Errors say
  // which credential, which endpoint, and what to do, and never hold a secret or a token:
  //   UNAVAILABLE          the endpoint cannot be reached, or fails
  //   PERMISSION_DENIED    it refuses what we are
  //   FAILED_PRECONDITION  something on this machine is missing
  //   INTERNAL             its answer makes no sense
  //   CANCELLED            the HTTP client was shut down
  virtual void Fetch(absl::Time deadline, Done done) = 0;
};

}  // namespace kvstore::azure

#endif  // KVSERVICE_STORAGE_AZURE_TOKEN_SOURCE_H_
