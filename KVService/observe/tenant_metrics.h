// Counts what each tenant asks for: where callers are asked who they are (--auth).
#ifndef KVSERVICE_OBSERVE_TENANT_METRICS_H_
#define KVSERVICE_OBSERVE_TENANT_METRICS_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "KVService/observe/metrics.h"
#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
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

  // Of what a tenant stores: the partitions that it may write to and has used, so many of all
  // tenants. `use` is a fingerprint of tenant and partition, `space` names the partition to who
  // knows how much is in it; none where the tenant may not write there.
  static constexpr size_t kMostUses = 10'000;
  using Space = std::array<uint8_t, 16>;
  bool KnowsUse(uint64_t use) const ABSL_LOCKS_EXCLUDED(uses_mutex_);
  void AddUse(uint64_t use, const std::string& identity, std::optional<Space> space)
      ABSL_LOCKS_EXCLUDED(uses_mutex_);
  // Forgets uses of what is empty. Nothing where there are no tenants.
  MetricFamilies Stored(absl::FunctionRef<uint64_t(const Space&)> bytes_of)
      ABSL_LOCKS_EXCLUDED(mutex_, uses_mutex_);

  MetricFamilies Collect() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Tenant {
    std::atomic<uint64_t> calls = 0, failed = 0, sent = 0, received = 0;
  };
  Tenant& Find(const std::string& identity) ABSL_LOCKS_EXCLUDED(mutex_);

  Tenant other_;
  mutable absl::Mutex mutex_;
  absl::flat_hash_map<std::string, std::unique_ptr<Tenant>> named_ ABSL_GUARDED_BY(mutex_);

  struct Use {
    std::string identity;
    std::optional<Space> space;
  };
  mutable absl::Mutex uses_mutex_;
  absl::flat_hash_map<uint64_t, Use> uses_ ABSL_GUARDED_BY(uses_mutex_);
};

}  // namespace kvstore

#endif  // KVSERVICE_OBSERVE_TENANT_METRICS_H_
