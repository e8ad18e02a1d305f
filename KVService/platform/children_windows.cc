// Signals are events here (process_events_windows.h), and the end of this process is the children's
// by a job object, at once.
#include <io.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "KVCommon/status_macros.h"
#include "KVService/platform/children.h"
#include "KVService/platform/command_line_windows.h"
#include "KVService/platform/process_events_windows.h"
#include "KVService/platform/windows_error.h"

namespace kvstore {
namespace {

constexpr wchar_t kReadyVariable[] = L"KVSTORE_READY_EVENT";
constexpr absl::Duration kLongestWait = absl::Hours(1);
constexpr UINT kKilled = 137;  // as a shell says it

void Close(void*& handle) {
  if (handle != nullptr) CloseHandle(handle);
  handle = nullptr;
}

bool IsSet(HANDLE handle) { return WaitForSingleObject(handle, 0) == WAIT_OBJECT_0; }

// This process's variables and one more, each ending in a NUL, and one at the end.
std::wstring EnvironmentWith(const std::wstring& name, const std::wstring& value) {
  std::wstring all;
  wchar_t* const own = GetEnvironmentStringsW();
  KV_CHECK(own != nullptr);
  for (const wchar_t* entry = own; *entry != L'\0';) {
    const std::wstring_view variable(entry);
    if (!variable.starts_with(name + L"=")) all.append(variable).push_back(L'\0');
    entry += variable.size() + 1;
  }
  FreeEnvironmentStringsW(own);
  all.append(name).append(L"=").append(value).push_back(L'\0');
  all.push_back(L'\0');
  return all;
}

// One that a child inherits. Null where the system refuses.
HANDLE Inheritable(HANDLE handle) {
  const HANDLE self = GetCurrentProcess();
  HANDLE copy = nullptr;
  DuplicateHandle(self, handle, self, &copy, 0, TRUE, DUPLICATE_SAME_ACCESS);
  return copy;
}

// The handles that a child gets, and no other that may be inheritable by then.
class Inherited {
 public:
  Inherited() {
    SIZE_T bytes = 0;
    InitializeProcThreadAttributeList(nullptr, 1, 0, &bytes);
    memory_.resize(bytes);
    KV_CHECK(InitializeProcThreadAttributeList(list(), 1, 0, &bytes));
  }
  ~Inherited() {
    DeleteProcThreadAttributeList(list());
    for (void*& handle : handles_) Close(handle);
  }
  Inherited(const Inherited&) = delete;
  Inherited& operator=(const Inherited&) = delete;

  // False if one is null.
  bool Set(std::vector<HANDLE> handles) {
    handles_ = std::move(handles);
    return std::find(handles_.begin(), handles_.end(), nullptr) == handles_.end() &&
           UpdateProcThreadAttribute(list(), 0, PROC_THREAD_ATTRIBUTE_HANDLE_LIST, handles_.data(),
                                     handles_.size() * sizeof(HANDLE), nullptr, nullptr);
  }
  LPPROC_THREAD_ATTRIBUTE_LIST list() {
    return reinterpret_cast<LPPROC_THREAD_ATTRIBUTE_LIST>(memory_.data());
  }
  HANDLE operator[](size_t i) const { return handles_[i]; }

 private:
  std::vector<char> memory_;
  std::vector<HANDLE> handles_;
};

}  // namespace

Children::Children()
    : stop_(windows::OwnEvent(L"stop")),
      reload_(windows::OwnEvent(L"reload")),
      job_(CreateJobObjectW(nullptr, nullptr)) {
  KV_CHECK(stop_ != nullptr && reload_ != nullptr && job_ != nullptr);
  JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = {};
  limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
  KV_CHECK(
      SetInformationJobObject(job_, JobObjectExtendedLimitInformation, &limits, sizeof limits));
}

Children::~Children() {
  for (auto& [child, process] : ready_) {
    Close(process.ready);
    Close(process.handle);
  }
  Close(job_);
  Close(reload_);
  Close(stop_);
}

absl::StatusOr<int> Children::Start(const std::vector<std::string>& command, PrefixedOutput& output,
                                    PrefixedOutput& errors) {
  Process process;
  process.ready = CreateEventW(nullptr, TRUE, FALSE, nullptr);
  const auto failure = [&process] {
    const std::string reason = windows::LastReason();
    Close(process.ready);
    return absl::ResourceExhaustedError("cannot start a process: " + reason);
  };
  const auto of = [](const PrefixedOutput& console) {
    return reinterpret_cast<HANDLE>(_get_osfhandle(console.descriptor()));
  };
  Inherited handles;
  if (!handles.Set(
          {Inheritable(of(output)), Inheritable(of(errors)), Inheritable(process.ready)})) {
    return failure();
  }
  STARTUPINFOEXW start = {};
  start.StartupInfo.cb = sizeof start;
  start.StartupInfo.dwFlags = STARTF_USESTDHANDLES;
  start.StartupInfo.hStdOutput = handles[0];
  start.StartupInfo.hStdError = handles[1];
  start.lpAttributeList = handles.list();
  std::wstring line = windows::CommandLine(command);
  std::wstring environment =
      EnvironmentWith(kReadyVariable, std::to_wstring(reinterpret_cast<uintptr_t>(handles[2])));
  // A group of its own: the console's Ctrl-C is for this process.
  constexpr DWORD kFlags = CREATE_NEW_PROCESS_GROUP | CREATE_UNICODE_ENVIRONMENT |
                           EXTENDED_STARTUPINFO_PRESENT | CREATE_SUSPENDED;
  PROCESS_INFORMATION started = {};
  if (!CreateProcessW(windows::Wide(command.front()).c_str(), line.data(), nullptr, nullptr, TRUE,
                      kFlags, environment.data(), nullptr, &start.StartupInfo, &started)) {
    return failure();
  }
  process.handle = started.hProcess;
  const bool ours = AssignProcessToJobObject(job_, process.handle) != 0;
  if (!ours) TerminateProcess(process.handle, kKilled);  // it would outlive this process
  ResumeThread(started.hThread);
  CloseHandle(started.hThread);
  const int child = static_cast<int>(started.dwProcessId);
  ready_[child] = process;
  return child;
}

void Children::Signal(int child, ChildSignal signal) {
  KV_CHECK(ready_.contains(child));
  const auto process = static_cast<DWORD>(child);
  const bool stop = signal == ChildSignal::kInterrupt || signal == ChildSignal::kTerminate;
  const bool told = (stop && windows::SetEventOf(process, L"stop")) ||
                    (signal == ChildSignal::kReload && windows::SetEventOf(process, L"reload"));
  // One that has no such event yet has nothing to lose.
  if (!told && signal != ChildSignal::kReload) TerminateProcess(ready_[child].handle, kKilled);
}

bool Children::TakeEnded(ChildEvent& event) {
  for (auto& [child, process] : ready_) {
    if (!IsSet(process.handle)) continue;
    DWORD code = 0;
    GetExitCodeProcess(process.handle, &code);
    event.kind = ChildEvent::Kind::kEnded;
    event.child = child;
    event.clean = code == 0;
    // The system's own codes of what went wrong are known in hex.
    event.how =
        code > 0xffff ? fmt::format("exit code {:#x}", code) : fmt::format("exit code {}", code);
    Close(process.ready);
    Close(process.handle);
    ready_.erase(child);
    return true;
  }
  return false;
}

bool Children::TakeSignal(ChildEvent& event) {
  const bool stop = IsSet(stop_);
  if (!stop && !IsSet(reload_)) return false;
  event.kind = ChildEvent::Kind::kSignalled;
  event.signal = stop ? ChildSignal::kTerminate : ChildSignal::kReload;
  return true;
}

ChildEvent Children::Wait(absl::Time until) {
  ChildEvent event;
  for (;;) {
    if (TakeSignal(event) || TakeEnded(event)) return event;
    for (auto& [child, process] : ready_) {
      if (process.ready == nullptr || !IsSet(process.ready)) continue;
      Close(process.ready);
      event.kind = ChildEvent::Kind::kReady;
      event.child = child;
      return event;
    }
    // The two events of this process were reset by looking at them, and were not set.
    std::vector<HANDLE> handles = {stop_, reload_};
    for (const auto& [child, process] : ready_) {
      handles.push_back(process.handle);
      if (process.ready != nullptr) handles.push_back(process.ready);
    }
    KV_CHECK(handles.size() <= MAXIMUM_WAIT_OBJECTS);
    const absl::Duration left = until - absl::Now();
    if (left <= absl::ZeroDuration()) return event;
    const auto patience =
        static_cast<DWORD>(absl::ToInt64Milliseconds(std::min(left, kLongestWait)) + 1);
    const DWORD found =
        WaitForMultipleObjects(static_cast<DWORD>(handles.size()), handles.data(), FALSE, patience);
    // The wait has reset it: to be seen above.
    if (found <= WAIT_OBJECT_0 + 1) SetEvent(handles[found]);
  }
}

void TellParentReady() {
  wchar_t text[32] = L"";
  const DWORD size = GetEnvironmentVariableW(kReadyVariable, text, 32);
  if (size == 0 || size >= 32) return;
  SetEnvironmentVariableW(kReadyVariable, nullptr);
  const auto event =
      reinterpret_cast<HANDLE>(static_cast<uintptr_t>(_wcstoui64(text, nullptr, 10)));
  if (event == nullptr) return;
  SetEvent(event);
  CloseHandle(event);
}

std::string OwnProgram() {
  std::wstring path(32768, L'\0');  // the longest there is
  path.resize(GetModuleFileNameW(nullptr, path.data(), static_cast<DWORD>(path.size())));
  return windows::Narrow(path);
}

}  // namespace kvstore
