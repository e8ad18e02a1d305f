// Programs that this one starts, watches, and takes along when it ends.
#ifndef KVSERVICE_PLATFORM_CHILDREN_H_
#define KVSERVICE_PLATFORM_CHILDREN_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "KVService/platform/prefixed_output.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace kvstore {

enum class ChildSignal { kInterrupt, kTerminate, kReload, kKill };
// Such as "SIGTERM".
const char* NameOf(ChildSignal signal);

struct ChildEvent {
  enum class Kind {
    kTime,       // nothing happened
    kSignalled,  // this process was: `signal`
    kReady,      // `child` has called TellParentReady
    kEnded,      // `child` did: `how`, and `clean` if by exit code 0
  };
  Kind kind = Kind::kTime;
  ChildSignal signal = ChildSignal::kTerminate;
  int child = 0;
  std::string how;
  bool clean = false;
};

// Not thread-safe; and from one thread, whose end is that of the children.
class Children {
 public:
  // Takes SIGINT, SIGTERM and SIGHUP from this process for Wait to tell. REQUIRES: before any other
  // thread starts.
  Children();
  // REQUIRES: no child runs; they would be left to themselves.
  ~Children();
  Children(const Children&) = delete;
  Children& operator=(const Children&) = delete;

  // Runs a program, by its path and then its arguments, with this environment and output to these
  // two, which outlive it. A terminal's Ctrl-C does not reach it; the end of this process does, as
  // SIGTERM, be it by SIGKILL. A program that cannot be run ends with exit code 127. Returns its
  // process id; RESOURCE_EXHAUSTED where the system has none to give.
  absl::StatusOr<int> Start(const std::vector<std::string>& command, PrefixedOutput& output,
                            PrefixedOutput& errors);

  // REQUIRES: kEnded of it was not told yet.
  void Signal(int child, ChildSignal signal);

  // The next that happens, or kTime at `until`.
  ChildEvent Wait(absl::Time until);

  size_t size() const { return ready_.size(); }

 private:
  bool TakeEnded(ChildEvent& event);
  bool TakeSignal(ChildEvent& event);

#if defined(_WIN32)
  struct Process {
    void* handle = nullptr;
    void* ready = nullptr;  // an event by which it says that it is; null: it has
  };
  void* stop_;  // events that tell this process
  void* reload_;
  void* job_;                      // whose end is its processes'
  std::map<int, Process> ready_;  // by process id
#else
  int signals_;
  std::map<int, int>
      ready_;  // by process id, where it says that it is ready; -1: it has, or cannot
#endif
};

// Tells the one that started this process through Children that it does its work now. Does nothing
// where there is no such one. Call once.
void TellParentReady();

// Where this very program is; empty where the system does not tell.
std::string OwnProgram();

}  // namespace kvstore

#endif  // KVSERVICE_PLATFORM_CHILDREN_H_
