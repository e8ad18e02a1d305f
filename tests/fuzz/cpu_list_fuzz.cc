// Lists of processors as the system, or a container's view of it, tells them.
#include <algorithm>

#include "KVCommon/status_macros.h"
#include "KVService/platform/numa.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto cpus = kvstore::ParseCpuList({reinterpret_cast<const char*>(data), size});
  if (cpus.ok()) {
    KV_CHECK(std::is_sorted(cpus->begin(), cpus->end(), std::less_equal<>()));
    KV_CHECK(cpus->empty() || (cpus->front() >= 0 && cpus->back() < kvstore::kMostCpus));
    const auto again = kvstore::ParseCpuList(kvstore::FormatCpuList(*cpus));
    KV_CHECK(again.ok() && *again == *cpus);
  } else {
    KV_CHECK(!cpus.status().message().empty());
  }
  return 0;
}
