// What a client of the chaos run was asked and told, one JSON object a line, in the form that
// checker.py reads. A line is in the system's hands before the call that it announces begins, and
// before the caller goes on from one that has ended: a client that is killed loses nothing.
#ifndef TESTS_CHAOS_HISTORY_H_
#define TESTS_CHAOS_HISTORY_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json_fwd.hpp"

namespace kvstore::chaos {

// Thread-safe.
class History {
 public:
  // Appends to the file at `path`; every operation's name begins with `client`. UNAVAILABLE where
  // the file cannot be opened.
  static absl::StatusOr<std::unique_ptr<History>> Open(const std::string& path, std::string client);
  ~History();
  History(const History&) = delete;
  History& operator=(const History&) = delete;

  // The operation's name, for End. `what` is what the checker needs to know of it.
  std::string Begin(std::string_view op, std::chrono::milliseconds timeout, nlohmann::json what);
  void End(const std::string& id, const absl::Status& status, nlohmann::json outcome);

 private:
  History(int file, std::string client) : file_(file), client_(std::move(client)) {}
  void Append(const nlohmann::json& line);

  const int file_;
  const std::string client_;
  std::atomic<uint64_t> next_ = 0;
};

}  // namespace kvstore::chaos

#endif  // TESTS_CHAOS_HISTORY_H_
