#include "KVService/platform/children.h"

namespace kvstore {

const char* NameOf(ChildSignal signal) {
  switch (signal) {
    case ChildSignal::kInterrupt:
      return "SIGINT";
    case ChildSignal::kTerminate:
      return "SIGTERM";
    case ChildSignal::kReload:
      return "SIGHUP";
    case ChildSignal::kKill:
      return "SIGKILL";
  }
  return "?";
}

}  // namespace kvstore
