// AsyncReader on Linux's io_uring; liburing's types stay in uring_reader.cc.
#ifndef KVSERVICE_PLATFORM_URING_READER_H_
#define KVSERVICE_PLATFORM_URING_READER_H_

#include <memory>

#include "KVService/platform/async_reader.h"

namespace kvstore {

// FAILED_PRECONDITION where there is no io_uring: an old kernel, a container that forbids it, or a
// build without liburing.
absl::StatusOr<std::unique_ptr<AsyncReader>> MakeUringReader();

}  // namespace kvstore

#endif  // KVSERVICE_PLATFORM_URING_READER_H_
