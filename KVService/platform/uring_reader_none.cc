// For systems, and builds, without liburing.
#include "KVService/platform/uring_reader.h"

namespace kvstore {

absl::StatusOr<std::unique_ptr<AsyncReader>> MakeUringReader() {
  return absl::FailedPreconditionError("io_uring: built without it");
}

}  // namespace kvstore
