// What token endpoints answer (OAuth 2.0, RFC 6749, and what Azure's instance metadata service and
// App Service make of it), understood.
#ifndef KVSERVICE_STORAGE_AZURE_TOKEN_RESPONSE_H_
#define KVSERVICE_STORAGE_AZURE_TOKEN_RESPONSE_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "KVService/http/http_client.h"
#include "KVService/storage/azure/token_source.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace kvstore::azure {

inline constexpr size_t kMaxTokenResponseBytes = 256 << 10;
inline constexpr size_t kMaxTokenBytes = 64 << 10;

// The token of a success's body. `expires_in` (seconds) and `expires_on` (since 1970) may be
// numbers or text; the earlier counts, and without any the answer is refused. INTERNAL, with what
// is wrong but nothing of what the body holds.
absl::StatusOr<AccessToken> ParseTokenResponse(std::string_view json, absl::Time now);

// What an error's body says in one printable line of bounded length, such as
// "invalid_client: AADSTS7000222: The provided client secret keys are expired."; empty if nothing.
// Wherever one of `secrets` appears, REDACTED does instead.
std::string DescribeTokenError(std::string_view json, const std::vector<std::string>& secrets);

// What to say where the endpoint refuses (4xx), behind its own words.
struct TokenAdvice {
  std::string name;      // of the source
  std::string endpoint;  // without a query
  std::string refused;   // what to do then
  std::string unreachable;
  std::vector<std::string> secrets;  // that were sent
};

// An exchange's outcome as a source's. 404 and 410, by which the metadata service says that it is
// being updated, 408, 429 and 5xx are worth another try, and so is what the transport reports but a
// wrong request.
TokenResult TokenResultOf(const absl::StatusOr<HttpResponse>& response, const TokenAdvice& advice,
                          absl::Time now);

}  // namespace kvstore::azure

#endif  // KVSERVICE_STORAGE_AZURE_TOKEN_RESPONSE_H_
