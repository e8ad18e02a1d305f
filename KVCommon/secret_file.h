// Small files that hold one secret, as orchestrators mount them.
#ifndef KVCOMMON_SECRET_FILE_H_
#define KVCOMMON_SECRET_FILE_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"

namespace kvstore {

inline constexpr size_t kMaxSecretFileBytes = 64 << 10;

// All of a file of up to `max_bytes`. Blocks. Only reads: such mounts are read-only. NOT_FOUND,
// PERMISSION_DENIED or UNAVAILABLE with the path and the system's reason; INVALID_ARGUMENT for a
// directory or a file that is larger.
absl::StatusOr<std::string> ReadWholeFile(const std::string& path, size_t max_bytes);

// The secret, without the white space around it. INVALID_ARGUMENT too if nothing is left.
absl::StatusOr<std::string> ReadSecretFile(const std::string& path);

}  // namespace kvstore

#endif  // KVCOMMON_SECRET_FILE_H_
