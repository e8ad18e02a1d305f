// The retention file, and what is asked of it.
#include "KVCommon/status_macros.h"
#include "KVService/retention/retention_json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto parsed = kvstore::ParseRetention({reinterpret_cast<const char*>(data), size});
  if (!parsed.ok()) {
    KV_CHECK(!parsed.status().message().empty());
    return 0;
  }
  for (const kvstore::RetentionRules::Rule& rule : parsed->rules) {
    KV_CHECK(rule.ttl >= absl::Seconds(1) && rule.ttl < absl::InfiniteDuration());
    const kvstore::Container container{rule.account, rule.container};
    // Itself, or one before it.
    KV_CHECK(parsed->TtlOf(container, rule.partition.value_or(kvstore::PartitionDigest{})));
  }
  for (const kvstore::RetentionRules::Capacity& capacity : parsed->capacities) {
    KV_CHECK(!capacity.container.account.empty() && !capacity.container.name.empty());
  }
  return 0;
}
