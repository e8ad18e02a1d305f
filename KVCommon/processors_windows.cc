#include <windows.h>

#include <algorithm>
#include <bit>
#include <thread>

#include "KVCommon/processors.h"

namespace kvstore {
namespace {

// Of Windows 10 and later, and in no header or import library of mingw-w64's.
ULONG ProcessorsOfDefaultSets() {
  using Function = BOOL(WINAPI*)(HANDLE, ULONG*, ULONG, ULONG*);
  static const auto function = reinterpret_cast<Function>(reinterpret_cast<void*>(
      GetProcAddress(GetModuleHandleW(L"kernel32.dll"), "GetProcessDefaultCpuSets")));
  ULONG count = 0;
  if (function != nullptr) function(GetCurrentProcess(), nullptr, 0, &count);
  return count;
}

}  // namespace

size_t UsableProcessors() {
  // What RunOnNode (platform/numa.h) chose, in whichever processor group.
  if (const ULONG chosen = ProcessorsOfDefaultSets(); chosen > 0) return chosen;
  // Both are 0 in a process with threads in several groups, which may use all of them.
  DWORD_PTR mine = 0, all = 0;
  if (GetActiveProcessorGroupCount() == 1 &&
      GetProcessAffinityMask(GetCurrentProcess(), &mine, &all) && mine != 0) {
    return static_cast<size_t>(std::popcount(static_cast<uint64_t>(mine)));
  }
  const DWORD everywhere = GetActiveProcessorCount(ALL_PROCESSOR_GROUPS);
  return std::max<size_t>(1, everywhere > 0 ? everywhere : std::thread::hardware_concurrency());
}

}  // namespace kvstore
