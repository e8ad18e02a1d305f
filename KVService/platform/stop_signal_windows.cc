// Ctrl-C and Ctrl-Break at a console, its closing, the end of the session or the system; and two
// events by which other processes say it (process_events_windows.h).
#include <windows.h>

#include <atomic>

#include "KVCommon/status_macros.h"
#include "KVService/platform/process_events_windows.h"
#include "KVService/platform/stop_signal.h"

namespace kvstore {
namespace {

HANDLE stop_event = nullptr, reload_event = nullptr;
std::atomic<const char*> name = "SIGTERM";
std::atomic<bool> told = false;

// On a thread that the system makes.
BOOL WINAPI OnConsole(DWORD event) {
  // A service hears of every user's.
  if (event == CTRL_LOGOFF_EVENT && windows::is_service) return TRUE;
  // A second one ends the process, as the handler behind this one does.
  if (told.exchange(true)) return FALSE;
  if (event == CTRL_C_EVENT) name = "SIGINT";
  SetEvent(stop_event);
  // For these the process ends when this returns, and soon after in any case.
  if (event != CTRL_C_EVENT && event != CTRL_BREAK_EVENT) Sleep(INFINITE);
  return TRUE;
}

}  // namespace

void HoldStopSignals() {
  stop_event = windows::OwnEvent(L"stop");
  reload_event = windows::OwnEvent(L"reload");
  KV_CHECK(stop_event != nullptr && reload_event != nullptr);
  // Who started this may have switched Ctrl-C off, as Children does; it stays so.
  SetConsoleCtrlHandler(&OnConsole, TRUE);
}

std::string WaitForStopSignal(const std::function<void()>& reload) {
  const HANDLE events[] = {stop_event, reload_event};
  for (;;) {
    const DWORD which = WaitForMultipleObjects(2, events, FALSE, INFINITE);
    KV_CHECK(which <= WAIT_OBJECT_0 + 1);
    if (which == WAIT_OBJECT_0) break;
    reload();
  }
  told = true;
  return name.load();
}

}  // namespace kvstore
