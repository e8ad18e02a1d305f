#include "KVService/thread_plan.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>

namespace kvstore {
namespace {

// They wait more than they work: for the disk, and for room in its queue.
constexpr size_t kLeastDiskThreads = 12;
// Each fills up before the next one is used, so that few do.
constexpr size_t kHttpThreads = 2;

// A thread each, and half of the processors at least for all else. Two threads at one connection
// make gRPC hand work from one to the other: on two cores one queue moves 1.2 times as much as two.
size_t QueuesFor(size_t processors) { return std::clamp<size_t>(processors / 2, 1, 16); }

void ShareDisk(size_t threads, ThreadPlan& plan) {
  // Writes of one file wait for each other in the kernel, so that few threads are best.
  plan.disk_writes = std::max<size_t>(1, threads / 6);
  plan.disk_reads = std::max<size_t>(1, threads - plan.disk_writes);
}

}  // namespace

absl::StatusOr<ThreadPlan> PlanThreads(size_t bound, size_t processors, bool disk, bool azure) {
  ThreadPlan plan;
  plan.queues = QueuesFor(processors);
  plan.http = azure ? kHttpThreads : 0;
  if (bound == 0) {
    if (disk) ShareDisk(std::max(kLeastDiskThreads, processors), plan);
    return plan;
  }
  const size_t least = 1 + (azure ? 1 : 0) + (disk ? 2 : 0);
  if (bound < least) {
    return absl::InvalidArgumentError(fmt::format(
        "--threads must be at least {} for each server here: one for calls{}{}; or 0, for what the "
        "processors are best used by",
        least, azure ? ", one for HTTP" : "", disk ? ", one each for disk reads and writes" : ""));
  }
  plan.queues = std::clamp<size_t>(bound / 4, 1, plan.queues);
  if (azure) plan.http = std::clamp<size_t>(bound / 8, 1, kHttpThreads);
  if (disk) ShareDisk(bound - plan.queues - plan.http, plan);
  return plan;
}

}  // namespace kvstore
