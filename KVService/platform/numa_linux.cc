#include <sched.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <iterator>

#include "KVCommon/status_macros.h"
#include "KVService/platform/numa.h"

namespace kvstore {
namespace {

// More than any list or meminfo of the system's.
constexpr size_t kMaxFileBytes = 64 << 10;

absl::StatusOr<std::string> ReadText(const std::string& path) {
  // Not ReadSmallFile: what the system makes as it is read has no size.
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::NotFoundError(fmt::format("{}: {}", path, std::strerror(errno)));
  std::string text(kMaxFileBytes, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  if (text.size() == kMaxFileBytes) {
    return absl::DataLossError(fmt::format("{} has {} bytes or more", path, kMaxFileBytes));
  }
  return text;
}

absl::StatusOr<std::vector<int>> ReadList(const std::string& path) {
  KV_ASSIGN_OR_RETURN(const std::string text, ReadText(path));
  absl::StatusOr<std::vector<int>> list = ParseCpuList(text);
  if (list.ok()) return list;
  return absl::DataLossError(fmt::format("{}: {}", path, std::string(list.status().message())));
}

// Of a line "Node 0 MemTotal:       131841968 kB"; 0 where there is none.
uint64_t MemoryOf(std::string_view meminfo) {
  constexpr std::string_view kName = "MemTotal:";
  const size_t at = meminfo.find(kName);
  if (at == std::string_view::npos) return 0;
  meminfo.remove_prefix(at + kName.size());
  meminfo.remove_prefix(std::min(meminfo.find_first_not_of(' '), meminfo.size()));
  uint64_t kib = 0;
  std::from_chars(meminfo.data(), meminfo.data() + meminfo.size(), kib);
  return kib << 10;
}

class CpuSet {
 public:
  CpuSet() : set_(CPU_ALLOC(kMostCpus)) {
    KV_CHECK(set_ != nullptr);
    CPU_ZERO_S(bytes(), set_);
  }
  ~CpuSet() { CPU_FREE(set_); }
  CpuSet(const CpuSet&) = delete;
  CpuSet& operator=(const CpuSet&) = delete;

  static size_t bytes() { return CPU_ALLOC_SIZE(kMostCpus); }
  cpu_set_t* get() { return set_; }
  void Add(int cpu) { CPU_SET_S(cpu, bytes(), set_); }
  bool Has(int cpu) const { return CPU_ISSET_S(cpu, bytes(), set_); }

 private:
  cpu_set_t* const set_;
};

std::vector<int> AllCpus() {
  std::vector<int> all(kMostCpus);
  for (int cpu = 0; cpu < kMostCpus; ++cpu) all[static_cast<size_t>(cpu)] = cpu;
  return all;
}

}  // namespace

std::string SystemNumaDirectory() { return "/sys/devices/system/node"; }

bool HasProcessorGroups() { return false; }

absl::StatusOr<std::vector<NumaNode>> ReadNumaNodes(const std::string& directory) {
  KV_ASSIGN_OR_RETURN(const std::vector<int> numbers, ReadList(directory + "/online"));
  std::vector<NumaNode> nodes;
  for (const int number : numbers) {
    const std::string folder = fmt::format("{}/node{}", directory, number);
    NumaNode node;
    node.number = number;
    absl::StatusOr<std::vector<int>> cpus = ReadList(folder + "/cpulist");
    if (absl::IsNotFound(cpus.status())) {
      return absl::DataLossError(fmt::format("node {} is online without processors' list: {}",
                                             number, std::string(cpus.status().message())));
    }
    KV_RETURN_IF_ERROR(cpus.status());
    node.cpus = *std::move(cpus);
    if (absl::StatusOr<std::string> meminfo = ReadText(folder + "/meminfo"); meminfo.ok()) {
      node.memory_bytes = MemoryOf(*meminfo);
    }
    nodes.push_back(std::move(node));
  }
  if (nodes.empty()) return absl::NotFoundError(directory + "/online names no node");
  return nodes;
}

std::vector<int> UsableCpus(std::vector<int> cpus) {
  CpuSet mine;
  if (sched_getaffinity(0, CpuSet::bytes(), mine.get()) != 0) return cpus;
  std::erase_if(cpus, [&](int cpu) { return !mine.Has(cpu); });
  return cpus;
}

absl::Status RunOnNode(const NumaNode& node) {
  const std::vector<int> cpus = UsableCpus(node.cpus);
  if (cpus.empty()) {
    return absl::FailedPreconditionError(fmt::format(
        "NUMA node {} has the processors '{}' and this process may run on '{}' only: choose "
        "another node, or widen the CPU set that the process is started with",
        node.number, FormatCpuList(node.cpus), FormatCpuList(UsableCpus(AllCpus()))));
  }
  CpuSet set;
  for (const int cpu : cpus) set.Add(cpu);
  if (sched_setaffinity(0, CpuSet::bytes(), set.get()) != 0) {
    return absl::UnavailableError(
        fmt::format("cannot run on the processors '{}' of NUMA node {}: {}", FormatCpuList(cpus),
                    node.number, std::strerror(errno)));
  }
  return absl::OkStatus();
}

}  // namespace kvstore
