// What a process of this program can be told by another one, as signals tell it elsewhere: events
// that carry its process id in their names. For *_windows.cc.
#ifndef KVSERVICE_PLATFORM_PROCESS_EVENTS_WINDOWS_H_
#define KVSERVICE_PLATFORM_PROCESS_EVENTS_WINDOWS_H_

#include <windows.h>

#include <atomic>
#include <string>

namespace kvstore::windows {

// Whether the system runs this process as a service.
inline std::atomic<bool> is_service = false;

// Local\KVStore-PID-stop and Local\KVStore-PID-reload: of the session, and only for who may
// control the process's user's objects.
inline std::wstring EventName(DWORD process, const wchar_t* what) {
  return L"Local\\KVStore-" + std::to_wstring(process) + L"-" + what;
}

// Created, or opened where it is there. It resets itself when a wait takes it. Null where the
// system refuses.
inline HANDLE OwnEvent(const wchar_t* what) {
  return CreateEventW(nullptr, FALSE, FALSE, EventName(GetCurrentProcessId(), what).c_str());
}

// Whether that process has such an event, which is set now.
inline bool SetEventOf(DWORD process, const wchar_t* what) {
  const HANDLE event = OpenEventW(EVENT_MODIFY_STATE, FALSE, EventName(process, what).c_str());
  if (event == nullptr) return false;
  const bool set = SetEvent(event) != 0;
  CloseHandle(event);
  return set;
}

}  // namespace kvstore::windows

#endif  // KVSERVICE_PLATFORM_PROCESS_EVENTS_WINDOWS_H_
