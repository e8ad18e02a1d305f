// How many threads each part of the server gets.
#ifndef KVSERVICE_THREAD_PLAN_H_
#define KVSERVICE_THREAD_PLAN_H_

#include <cstddef>

#include "absl/status/statusor.h"

namespace kvstore {

// Of the parts that work. Beside them some have one thread that mostly waits: for syncs, deletes,
// io_uring, the shared log, uploads, tokens, metrics.
struct ThreadPlan {
  size_t queues = 0;      // completion queues of gRPC's
  size_t http = 0;        // event loops to Azure
  size_t disk_reads = 0;  // each waits for the disk, or compares what was read
  size_t disk_writes = 0;

  size_t total() const { return queues + http + disk_reads + disk_writes; }
};

// For `processors`. `bound` 0: what is best for them. Else not more than that in all: queues a
// quarter of it, at most what is best; HTTP an eighth, at most 2; the disk what is left, of that a
// sixth for writes. `disk`, `azure`: whether the server has such a part at all. INVALID_ARGUMENT,
// with the least that will do, where the bound has not one for each.
absl::StatusOr<ThreadPlan> PlanThreads(size_t bound, size_t processors, bool disk, bool azure);

}  // namespace kvstore

#endif  // KVSERVICE_THREAD_PLAN_H_
