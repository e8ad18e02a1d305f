#include "KVService/storage/azure/retry_policy.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "KVService/storage/azure/blob_responses.h"
#include "absl/strings/numbers.h"

namespace kvstore::azure {

namespace {

// Whether the body was damaged on its way. Azurite has no code of its own for it.
bool IsMd5Mismatch(const HttpResponse& response) {
  const std::string code = ErrorCode(response);
  return code == "Md5Mismatch" ||
         (code == "InvalidOperation" &&
          AsText(response.body.bytes()).find("contentMD5") != std::string_view::npos);
}

}  // namespace

Verdict Judge(const absl::StatusOr<HttpResponse>& result) {
  if (!result.ok()) {
    // A deadline here is that of the attempt; the pipeline knows whether the caller's has passed.
    const bool again =
        absl::IsUnavailable(result.status()) || absl::IsDeadlineExceeded(result.status());
    return again ? Verdict::kRetry : Verdict::kFinal;
  }
  switch (result->status) {
    case 429:
    case 503:
      return Verdict::kThrottled;
    case 408:
    case 500:
    case 502:
    case 504:
      return Verdict::kRetry;
    case 400:
      return IsMd5Mismatch(*result) ? Verdict::kRetry : Verdict::kFinal;
    default:
      return Verdict::kFinal;
  }
}

std::optional<absl::Duration> RetryAfter(const HttpResponse& response, absl::Time now) {
  int64_t number = 0;
  const std::string* milliseconds = response.Find("x-ms-retry-after-ms");
  if (milliseconds != nullptr && absl::SimpleAtoi(*milliseconds, &number) && number >= 0) {
    return absl::Milliseconds(number);
  }
  const std::string* header = response.Find("Retry-After");
  if (header == nullptr) return std::nullopt;
  if (absl::SimpleAtoi(*header, &number)) {
    if (number < 0) return std::nullopt;
    return absl::Seconds(number);
  }
  absl::Time date;
  std::string error;
  if (!absl::ParseTime("%a, %d %b %Y %H:%M:%S GMT", *header, &date, &error)) return std::nullopt;
  return std::max(date - now, absl::ZeroDuration());
}

absl::Duration RetryDelay(const RetryOptions& options, int attempt,
                          const absl::StatusOr<HttpResponse>& result, absl::Time now,
                          double random) {
  const int doublings = std::clamp(attempt - 1, 0, 30);
  const absl::Duration bound =
      std::min(options.max_delay, options.first_delay * (int64_t{1} << doublings));
  absl::Duration delay = bound * random;
  if (result.ok()) {
    if (const auto asked = RetryAfter(*result, now)) {
      // The jitter on top, or all who were told the same would come back at once.
      delay += std::min(*asked, options.max_retry_after);
    }
  }
  return delay;
}

}  // namespace kvstore::azure
