#include <windows.h>

#include <cstdio>
#include <filesystem>
#include <utility>

#include "KVCommon/status_macros.h"
#include "KVService/platform/children.h"
#include "KVService/platform/command_line_windows.h"
#include "KVService/platform/process_events_windows.h"
#include "KVService/platform/service.h"
#include "KVService/platform/windows_error.h"

namespace kvstore {
namespace {

constexpr wchar_t kDescription[] = L"Keeps the attention KV cache of large language models";
constexpr uintmax_t kLogBytes = 64 << 20;
// A server that is told to stop lets calls end, and writes what is to be kept.
constexpr DWORD kStopMilliseconds = 60'000;
constexpr DWORD kRestartMilliseconds = 5'000;

class Service {
 public:
  explicit Service(SC_HANDLE handle) : handle_(handle) {}
  ~Service() {
    if (handle_ != nullptr) CloseServiceHandle(handle_);
  }
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;
  operator SC_HANDLE() const { return handle_; }

 private:
  const SC_HANDLE handle_;
};

absl::Status Failure(const std::string& what, DWORD error = GetLastError()) {
  const std::string message = what + ": " + windows::Reason(error);
  switch (error) {
    case ERROR_ACCESS_DENIED:
      return absl::PermissionDeniedError(message + "; run it as an administrator");
    case ERROR_SERVICE_EXISTS:
    case ERROR_SERVICE_MARKED_FOR_DELETE:
      return absl::AlreadyExistsError(message);
    case ERROR_SERVICE_DOES_NOT_EXIST:
      return absl::NotFoundError(message);
    case ERROR_FAILED_SERVICE_CONTROLLER_CONNECT:
      return absl::FailedPreconditionError(what +
                                           ": the system starts this one; see --service install");
    default:
      return absl::UnavailableError(message);
  }
}

// What the system knows of the one service of this process.
struct Running {
  std::wstring name;
  std::function<int()> body;
  SERVICE_STATUS_HANDLE handle = nullptr;
  int code = 1;
};
Running* running = nullptr;

void Tell(DWORD state, DWORD wait_milliseconds = 0, DWORD code = NO_ERROR) {
  SERVICE_STATUS status = {};
  status.dwServiceType = SERVICE_WIN32_OWN_PROCESS;
  status.dwCurrentState = state;
  status.dwWaitHint = wait_milliseconds;
  if (state == SERVICE_RUNNING) {
    status.dwControlsAccepted =
        SERVICE_ACCEPT_STOP | SERVICE_ACCEPT_SHUTDOWN | SERVICE_ACCEPT_PARAMCHANGE;
  }
  if (code != NO_ERROR) {
    status.dwWin32ExitCode = ERROR_SERVICE_SPECIFIC_ERROR;
    status.dwServiceSpecificExitCode = code;
  }
  SetServiceStatus(running->handle, &status);
}

DWORD WINAPI OnControl(DWORD control, DWORD, void*, void*) {
  switch (control) {
    case SERVICE_CONTROL_STOP:
    case SERVICE_CONTROL_SHUTDOWN:
      Tell(SERVICE_STOP_PENDING, kStopMilliseconds);
      windows::SetEventOf(GetCurrentProcessId(), L"stop");
      return NO_ERROR;
    case SERVICE_CONTROL_PARAMCHANGE:
      windows::SetEventOf(GetCurrentProcessId(), L"reload");
      return NO_ERROR;
    case SERVICE_CONTROL_INTERROGATE:
      return NO_ERROR;
    default:
      return ERROR_CALL_NOT_IMPLEMENTED;
  }
}

void WINAPI ServiceMain(DWORD, wchar_t**) {
  running->handle = RegisterServiceCtrlHandlerExW(running->name.c_str(), &OnControl, nullptr);
  if (running->handle == nullptr) return;
  // Running, though what is stored is still being loaded: that may take longer than the system
  // waits for, and /readyz tells it.
  Tell(SERVICE_RUNNING);
  running->code = running->body();
  Tell(SERVICE_STOPPED, 0, static_cast<DWORD>(running->code));
}

// Neither console nor folder is there for a service.
void SetUpSurroundings(const std::string& name) {
  const std::filesystem::path program(windows::Wide(OwnProgram()));
  std::error_code ignored;
  std::filesystem::current_path(program.parent_path(), ignored);
  const std::filesystem::path log(windows::Wide(LogOfService(name)));
  std::filesystem::create_directories(log.parent_path(), ignored);
  if (const uintmax_t bytes = std::filesystem::file_size(log, ignored);
      !ignored && bytes > kLogBytes) {
    std::filesystem::rename(log, log.wstring() + L".1", ignored);
  }
  if (_wfreopen(log.c_str(), L"a", stderr) != nullptr) std::setvbuf(stderr, nullptr, _IONBF, 0);
  if (_wfreopen(L"NUL", L"w", stdout) == nullptr) std::fclose(stdout);
}

}  // namespace

bool HasServices() { return true; }

absl::Status InstallService(const std::string& name, const std::vector<std::string>& arguments) {
  std::vector<std::string> command = {OwnProgram()};
  command.insert(command.end(), arguments.begin(), arguments.end());
  const std::wstring wide = windows::Wide(name);
  const std::wstring account = L"NT SERVICE\\" + wide;
  const Service manager(OpenSCManagerW(nullptr, nullptr, SC_MANAGER_CREATE_SERVICE));
  if (manager == nullptr) return Failure("the system's services");
  const Service service(CreateServiceW(manager, wide.c_str(), wide.c_str(), SERVICE_ALL_ACCESS,
                                       SERVICE_WIN32_OWN_PROCESS, SERVICE_AUTO_START,
                                       SERVICE_ERROR_NORMAL, windows::CommandLine(command).c_str(),
                                       nullptr, nullptr, nullptr, account.c_str(), nullptr));
  if (service == nullptr) return Failure("the service " + name);
  std::wstring text = kDescription;
  SERVICE_DESCRIPTIONW description = {text.data()};
  ChangeServiceConfig2W(service, SERVICE_CONFIG_DESCRIPTION, &description);
  SC_ACTION restart = {SC_ACTION_RESTART, kRestartMilliseconds};
  SERVICE_FAILURE_ACTIONSW actions = {};
  actions.dwResetPeriod = 60;
  actions.cActions = 1;
  actions.lpsaActions = &restart;
  if (!ChangeServiceConfig2W(service, SERVICE_CONFIG_FAILURE_ACTIONS, &actions)) {
    return Failure("what is to be done where " + name + " fails");
  }
  return absl::OkStatus();
}

absl::Status RemoveService(const std::string& name) {
  const Service manager(OpenSCManagerW(nullptr, nullptr, SC_MANAGER_CONNECT));
  if (manager == nullptr) return Failure("the system's services");
  const Service service(OpenServiceW(manager, windows::Wide(name).c_str(), SERVICE_STOP | DELETE));
  if (service == nullptr) return Failure("the service " + name);
  // It goes once it has stopped, where it runs.
  SERVICE_STATUS status = {};
  ControlService(service, SERVICE_CONTROL_STOP, &status);
  if (!DeleteService(service)) return Failure("the service " + name);
  return absl::OkStatus();
}

absl::StatusOr<int> RunService(const std::string& name, std::function<int()> body) {
  Running service;
  service.name = windows::Wide(name);
  service.body = [&name, body = std::move(body)] {
    SetUpSurroundings(name);
    return body();
  };
  running = &service;
  windows::is_service = true;
  const SERVICE_TABLE_ENTRYW table[] = {{service.name.data(), &ServiceMain}, {nullptr, nullptr}};
  if (!StartServiceCtrlDispatcherW(table)) return Failure("the service " + name);
  return service.code;
}

std::string LogOfService(const std::string& name) {
  std::wstring folder(MAX_PATH, L'\0');
  folder.resize(GetEnvironmentVariableW(L"ProgramData", folder.data(), MAX_PATH));
  return (folder.empty() || folder.size() >= MAX_PATH ? "C:\\ProgramData"
                                                      : windows::Narrow(folder)) +
         "\\KVStore\\" + name + ".log";
}

}  // namespace kvstore
