// NUMA nodes as Windows tells of them. A processor's number is its group's times 64 and its own in
// the group: 64 is as many as a group has.
#include <windows.h>

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <vector>

#include "KVCommon/status_macros.h"
#include "KVService/platform/numa.h"
#include "KVService/platform/windows_error.h"

namespace kvstore {
namespace {

constexpr int kGroupSize = kProcessorGroupSize;

void AddMask(uint64_t mask, int group, std::vector<int>* cpus) {
  for (int i = 0; i < kGroupSize; ++i) {
    if (mask >> i & 1) cpus->push_back(group * kGroupSize + i);
  }
}

// Functions and types of Windows 10 that mingw-w64 12's headers lack.
template <typename Function>
Function FromKernel(const char* name) {
  return reinterpret_cast<Function>(
      reinterpret_cast<void*>(GetProcAddress(GetModuleHandleW(L"kernel32.dll"), name)));
}

struct CpuSetInformation {
  DWORD size;
  DWORD type;  // 0: what follows
  DWORD id;
  WORD group;
  BYTE logical_processor;
  BYTE others[17];
};

// All threads of the process run on these from now on, unless one was given its own; empty where
// the system has no such thing.
std::vector<ULONG> SetDefaultSets(const std::vector<int>& cpus) {
  const auto get =
      FromKernel<BOOL(WINAPI*)(void*, ULONG, ULONG*, HANDLE, ULONG)>("GetSystemCpuSetInformation");
  const auto set =
      FromKernel<BOOL(WINAPI*)(HANDLE, const ULONG*, ULONG)>("SetProcessDefaultCpuSets");
  std::vector<ULONG> ids;
  if (get == nullptr || set == nullptr) return ids;
  ULONG bytes = 0;
  get(nullptr, 0, &bytes, GetCurrentProcess(), 0);
  std::vector<char> memory(bytes);
  if (bytes == 0 || !get(memory.data(), bytes, &bytes, GetCurrentProcess(), 0)) return ids;
  for (size_t at = 0; at + sizeof(CpuSetInformation) <= bytes;) {
    CpuSetInformation information;
    std::memcpy(&information, memory.data() + at, sizeof information);
    if (information.size == 0) break;
    const int cpu = information.group * kGroupSize + information.logical_processor;
    if (information.type == 0 && std::binary_search(cpus.begin(), cpus.end(), cpu)) {
      ids.push_back(information.id);
    }
    at += information.size;
  }
  if (ids.empty() || !set(GetCurrentProcess(), ids.data(), static_cast<ULONG>(ids.size()))) {
    ids.clear();
  }
  return ids;
}

}  // namespace

std::string SystemNumaDirectory() { return "the system"; }

bool HasProcessorGroups() { return true; }

absl::StatusOr<std::vector<NumaNode>> ReadNumaNodes(const std::string& directory) {
  if (directory != SystemNumaDirectory()) {
    return absl::NotFoundError(directory + ": on Windows nodes are as the system tells them");
  }
  ULONG highest = 0;
  if (!GetNumaHighestNodeNumber(&highest)) return absl::NotFoundError(windows::LastReason());
  std::vector<NumaNode> nodes;
  for (ULONG number = 0; number <= highest; ++number) {
    GROUP_AFFINITY processors = {};
    ULONGLONG free_bytes = 0;
    const auto node_number = static_cast<USHORT>(number);
    const bool has_cpus = GetNumaNodeProcessorMaskEx(node_number, &processors) != 0;
    const bool has_memory = GetNumaAvailableMemoryNodeEx(node_number, &free_bytes) != 0;
    if (!has_cpus && !has_memory) continue;  // numbers may have gaps
    NumaNode node;
    node.number = static_cast<int>(number);
    node.memory_bytes = free_bytes;
    AddMask(processors.Mask, processors.Group, &node.cpus);
    nodes.push_back(std::move(node));
  }
  if (nodes.empty()) return absl::NotFoundError("the system names no node");
  return nodes;
}

// Windows bounds a process to some of a group only where it has no more than one.
std::vector<int> UsableCpus(std::vector<int> cpus) {
  DWORD_PTR mine = 0, all = 0;
  GROUP_AFFINITY group = {};
  if (!GetProcessAffinityMask(GetCurrentProcess(), &mine, &all) || mine == 0 || mine == all ||
      !GetThreadGroupAffinity(GetCurrentThread(), &group)) {
    return cpus;
  }
  std::vector<int> allowed;
  AddMask(mine, group.Group, &allowed);
  std::erase_if(cpus,
                [&](int cpu) { return !std::binary_search(allowed.begin(), allowed.end(), cpu); });
  return cpus;
}

absl::Status RunOnNode(const NumaNode& node) {
  const std::vector<int> cpus = UsableCpus(node.cpus);
  if (cpus.empty()) {
    return absl::FailedPreconditionError(fmt::format(
        "NUMA node {} has the processors '{}' and this process may run on none of them: "
        "choose another node, or widen the affinity that the process is started with",
        node.number, FormatCpuList(node.cpus)));
  }
  // A node of more than 64 processors lies in several groups; this thread runs in the first, and
  // all by the default sets in all of them.
  GROUP_AFFINITY mine = {};
  mine.Group = static_cast<WORD>(cpus.front() / kGroupSize);
  for (const int cpu : cpus) {
    if (cpu / kGroupSize == mine.Group) mine.Mask |= KAFFINITY{1} << (cpu % kGroupSize);
  }
  const bool sets = !SetDefaultSets(cpus).empty();
  const bool one_group = cpus.back() / kGroupSize == mine.Group;
  // Hard, where the process stays in one group: what it starts may not leave it.
  const bool mask = GetActiveProcessorGroupCount() == 1 && one_group &&
                    SetProcessAffinityMask(GetCurrentProcess(), mine.Mask);
  if (sets || mask) {
    // Threads start in the group of the one that starts them.
    if (!mask) SetThreadGroupAffinity(GetCurrentThread(), &mine, nullptr);
    return absl::OkStatus();
  }
  return absl::UnavailableError(fmt::format("cannot run on the processors '{}' of NUMA node {}: {}",
                                            FormatCpuList(cpus), node.number,
                                            windows::LastReason()));
}

absl::Status PreferMemoryOfNode(int) {
  return absl::UnimplementedError("Windows gives that of where the thread runs");
}

}  // namespace kvstore
