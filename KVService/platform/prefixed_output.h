// Other programs' output on this one's console, with a word before each line on whose it is.
#ifndef KVSERVICE_PLATFORM_PREFIXED_OUTPUT_H_
#define KVSERVICE_PLATFORM_PREFIXED_OUTPUT_H_

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace kvstore {

// Puts the prefix before each line of what comes in pieces. A line of more than kLongestLine is
// cut into several.
class LinePrefixer {
 public:
  static constexpr size_t kLongestLine = 256 << 10;

  explicit LinePrefixer(std::string prefix) : prefix_(std::move(prefix)) {}

  // Appends the lines that are whole now.
  void Add(std::string_view piece, std::string& lines);
  // And what is left at the end, as a line.
  void End(std::string& lines);

 private:
  const std::string prefix_;
  std::string begun_;
};

// A pipe for programs to write to, one after the other or several, and the thread that takes it to
// the console. Lines go out whole. Where nobody reads the console the programs wait, as they would
// if it was theirs; where it is gone, what they write is dropped.
class PrefixedOutput {
 public:
  enum class Console { kOutput = 1, kErrors = 2 };

  // RESOURCE_EXHAUSTED where the system has no pipe.
  static absl::StatusOr<std::unique_ptr<PrefixedOutput>> Open(Console console, std::string prefix);
  ~PrefixedOutput();  // as Finish at once
  PrefixedOutput(const PrefixedOutput&) = delete;
  PrefixedOutput& operator=(const PrefixedOutput&) = delete;

  // What programs are to write to.
  int descriptor() const { return descriptor_; }

  // Waits until all is out. False if it is not within `patience`: nobody reads, or a program runs
  // still, and the process should end without waiting for its threads. Idempotent.
  bool Finish(absl::Duration patience);

 private:
  struct Pump;
  PrefixedOutput(int descriptor, std::shared_ptr<Pump> pump);

  int descriptor_;
  const std::shared_ptr<Pump> pump_;  // the thread's too, which may outlive this
};

}  // namespace kvstore

#endif  // KVSERVICE_PLATFORM_PREFIXED_OUTPUT_H_
