#include "KVService/admission/overload.h"

#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"

namespace kvstore {
namespace {

constexpr char kPayload[] = "kvstore/retry_after_ms";

}  // namespace

absl::Status OverloadedError(std::string_view message, std::chrono::milliseconds retry_after) {
  absl::Status status = absl::ResourceExhaustedError(std::string(message));
  status.SetPayload(kPayload, absl::Cord(std::to_string(retry_after.count())));
  return status;
}

std::chrono::milliseconds RetryHint(const absl::Status& status) {
  const auto payload = status.GetPayload(kPayload);
  int64_t ms = 0;
  if (!payload || !absl::SimpleAtoi(std::string(*payload), &ms)) return kDefaultRetryHint;
  return std::chrono::milliseconds(ms);
}

}  // namespace kvstore
