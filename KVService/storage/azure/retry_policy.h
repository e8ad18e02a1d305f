// When an attempt is worth another, and when that should be. Decisions only; pipeline.h acts.
#ifndef KVSERVICE_STORAGE_AZURE_RETRY_POLICY_H_
#define KVSERVICE_STORAGE_AZURE_RETRY_POLICY_H_

#include <optional>

#include "KVService/http/http_client.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace kvstore::azure {

struct RetryOptions {
  int max_attempts = 8;
  absl::Duration first_delay = absl::Milliseconds(100);  // the bound of the first; it doubles
  absl::Duration max_delay = absl::Seconds(10);
  absl::Duration max_retry_after = absl::Minutes(1);  // what a server may ask for
};

enum class Verdict {
  kFinal,      // a success, or an error that another attempt would meet again
  kRetry,      // the connection or the service failed
  kThrottled,  // the service asks for less: retry, and send less
};

Verdict Judge(const absl::StatusOr<HttpResponse>& result);

// Retry-After in seconds or as a date, or x-ms-retry-after-ms; none where it is absent or nonsense.
std::optional<absl::Duration> RetryAfter(const HttpResponse& response, absl::Time now);

// The pause before attempt `attempt` + 1 (the first is 1): exponential with full jitter, `random`
// being uniform in [0, 1); no less than the server asked for, but that up to max_retry_after only.
absl::Duration RetryDelay(const RetryOptions& options, int attempt,
                          const absl::StatusOr<HttpResponse>& result, absl::Time now,
                          double random);

}  // namespace kvstore::azure

#endif  // KVSERVICE_STORAGE_AZURE_RETRY_POLICY_H_
