// Counts what each tenant asks for: where callers are asked who they are (--auth).
#ifndef KVSERVICE_OBSERVE_TENANT_METRICS_H_
#define KVSERVICE_OBSERVE_TENANT_METRICS_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "KVService/observe/metrics.h"
#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"

namespace kvstore {

struct RpcRecord;

// Thread-safe. Names are the auth file's, which change with it: the first so many that are seen are
// told by name for as long as the process runs, so that counters only grow; the rest are together
// `tenant="other"`.
class TenantMetrics {
 public:
  static constexpr size_t kMostNamed = 100;

  // A call that has ended; nothing where it has no identity.
  void Count(const RpcRecord& record) ABSL_LOCKS_EXCLUDED(mutex_);

  MetricFamilies Collect() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Tenant {
    std::atomic<uint64_t> calls = 0, failed = 0, sent = 0, received = 0;
  };
  Tenant& Find(const std::string& identity) ABSL_LOCKS_EXCLUDED(mutex_);

  Tenant other_;
  mutable absl::Mutex mutex_;
  absl::flat_hash_map<std::string, std::unique_ptr<Tenant>> named_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace kvstore

#endif  // KVSERVICE_OBSERVE_TENANT_METRICS_H_
