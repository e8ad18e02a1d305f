#include "KVService/observe/tenant_metrics.h"

#include <utility>

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
