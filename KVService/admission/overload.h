// The error of a limit that was reached: RESOURCE_EXHAUSTED, and when to try again.
#ifndef KVSERVICE_ADMISSION_OVERLOAD_H_
#define KVSERVICE_ADMISSION_OVERLOAD_H_

#include <chrono>
#include <string_view>

#include "absl/status/status.h"

namespace kvstore {

inline constexpr std::chrono::milliseconds kDefaultRetryHint{100};

// RESOURCE_EXHAUSTED with this message.
absl::Status OverloadedError(std::string_view message,
                             std::chrono::milliseconds retry_after = kDefaultRetryHint);

// When it is worth another try, of any RESOURCE_EXHAUSTED.
std::chrono::milliseconds RetryHint(const absl::Status& status);

}  // namespace kvstore

#endif  // KVSERVICE_ADMISSION_OVERLOAD_H_
