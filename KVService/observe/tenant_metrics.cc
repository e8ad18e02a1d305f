#include "KVService/observe/tenant_metrics.h"

#include <map>
#include <utility>
#include <vector>

#include "KVService/observe/rpc_record.h"

namespace kvstore {

namespace {

constexpr char kOther[] = "other";

}  // namespace

TenantMetrics::Tenant& TenantMetrics::Find(const std::string& identity) {
  {
    absl::ReaderMutexLock lock(&mutex_);
    if (const auto it = named_.find(identity); it != named_.end()) return *it->second;
    if (named_.size() == kMostNamed) return other_;
  }
  absl::MutexLock lock(&mutex_);
  if (named_.size() == kMostNamed && !named_.contains(identity)) return other_;
  std::unique_ptr<Tenant>& tenant = named_[identity];
  if (tenant == nullptr) tenant = std::make_unique<Tenant>();
  return *tenant;
}

void TenantMetrics::Count(const RpcRecord& record) {
  if (record.identity.empty()) return;
  // One that calls itself that shares the name.
  Tenant& tenant = record.identity == kOther ? other_ : Find(record.identity);
  tenant.calls.fetch_add(1, std::memory_order_relaxed);
  if (record.code != "OK") tenant.failed.fetch_add(1, std::memory_order_relaxed);
  (record.rpc == "Write" ? tenant.received : tenant.sent)
      .fetch_add(static_cast<uint64_t>(record.bytes), std::memory_order_relaxed);
}

bool TenantMetrics::KnowsUse(uint64_t use) const {
  absl::ReaderMutexLock lock(&uses_mutex_);
  return uses_.contains(use);
}

void TenantMetrics::AddUse(uint64_t use, const std::string& identity, std::optional<Space> space) {
  absl::MutexLock lock(&uses_mutex_);
  if (uses_.size() < kMostUses) uses_.try_emplace(use, Use{identity, space});
}

MetricFamilies TenantMetrics::Stored(absl::FunctionRef<uint64_t(const Space&)> bytes_of) {
  std::vector<std::pair<uint64_t, Use>> uses;
  {
    absl::ReaderMutexLock lock(&uses_mutex_);
    uses.assign(uses_.begin(), uses_.end());
  }
  std::map<std::string, uint64_t> bytes;
  std::vector<uint64_t> empty;
  {
    absl::ReaderMutexLock lock(&mutex_);
    for (const auto& [name, tenant] : named_) bytes[name];
    if (other_.calls > 0) bytes[kOther];
    for (const auto& [use, of] : uses) {
      const uint64_t there = of.space ? bytes_of(*of.space) : 0;
      if (there == 0) empty.push_back(use);
      // A call that has not ended yet may be its tenant's first.
      if (there > 0) bytes[named_.contains(of.identity) ? of.identity : kOther] += there;
    }
  }
  if (!empty.empty()) {
    absl::MutexLock lock(&uses_mutex_);
    for (const uint64_t use : empty) uses_.erase(use);
  }
  MetricFamily family{"kvstore_tenant_stored_bytes",
                      "Bytes in the partitions that a tenant may write to and has used since the "
                      "start of the server, as far as it knows what is stored.",
                      MetricType::kGauge,
                      {},
                      {}};
  for (const auto& [name, sum] : bytes) {
    family.samples.push_back({{{"tenant", name}}, static_cast<double>(sum)});
  }
  if (family.samples.empty()) return {};
  return {std::move(family)};
}

MetricFamilies TenantMetrics::Collect() const {
  using Number = std::atomic<uint64_t>;
  constexpr struct {
    const char* name;
    const char* help;
    Number Tenant::*number;
  } kFamilies[] = {
      {"kvstore_tenant_requests_total", "Calls that ended, by tenant.", &Tenant::calls},
      {"kvstore_tenant_failed_requests_total", "Of those, the ones that failed.", &Tenant::failed},
      {"kvstore_tenant_sent_chunk_bytes_total", "Bytes of chunks that a tenant read.",
       &Tenant::sent},
      {"kvstore_tenant_received_chunk_bytes_total", "Bytes of chunks that a tenant wrote.",
       &Tenant::received}};
  MetricFamilies families;
  absl::ReaderMutexLock lock(&mutex_);
  for (const auto& kind : kFamilies) {
    MetricFamily& family =
        families.emplace_back(MetricFamily{kind.name, kind.help, MetricType::kCounter, {}, {}});
    const auto add = [&](const std::string& name, const Tenant& tenant) {
      family.samples.push_back(
          {{{"tenant", name}}, static_cast<double>((tenant.*kind.number).load())});
    };
    for (const auto& [name, tenant] : named_) add(name, *tenant);
    if (other_.calls > 0) add(kOther, other_);
  }
  if (families[0].samples.empty()) families.clear();  // nobody is asked
  return families;
}

}  // namespace kvstore
