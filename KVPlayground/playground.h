// The program but for its objects: arguments in, exit code out.
#ifndef KVPLAYGROUND_PLAYGROUND_H_
#define KVPLAYGROUND_PLAYGROUND_H_

#include <functional>
#include <memory>
#include <ostream>

#include "KVPlayground/store.h"

namespace kvstore::playground {

// What a run gets from outside.
struct Environment {
  std::ostream& out;  // the report
  std::ostream& err;  // log lines, complaints and the progress bar
  bool bar = false;   // `err` is a terminal
  std::function<absl::StatusOr<std::unique_ptr<Store>>(ClientOptions)> make_store;
};

// Plays what the arguments say and reports. kExitOk, kExitFailed or kExitBadInput.
int RunPlayground(int argc, const char* const* argv, const Environment& environment);

}  // namespace kvstore::playground

#endif  // KVPLAYGROUND_PLAYGROUND_H_
