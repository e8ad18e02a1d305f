#include "tests/chaos/history.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace kvstore::chaos {
namespace {

// The clock that the driver's time.monotonic_ns() reads, too.
int64_t Now() {
  return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

absl::StatusOr<std::unique_ptr<History>> History::Open(const std::string& path,
                                                       std::string client) {
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (file < 0) return absl::UnavailableError(absl::StrCat(path, ": ", std::strerror(errno)));
  return std::unique_ptr<History>(new History(file, std::move(client)));
}

History::~History() { close(file_); }

std::string History::Begin(std::string_view op, std::chrono::milliseconds timeout,
                           nlohmann::json what) {
  std::string id = absl::StrCat(client_, ".", next_.fetch_add(1));
  what["e"] = "begin";
  what["id"] = id;
  what["op"] = op;
  what["timeout_ms"] = timeout.count();
  what["t"] = Now();
  Append(what);
  return id;
}

void History::End(const std::string& id, const absl::Status& status, nlohmann::json outcome) {
  outcome["t"] = Now();
  outcome["e"] = "end";
  outcome["id"] = id;
  outcome["status"] = absl::StatusCodeToString(status.code());
  if (!status.ok()) outcome["message"] = std::string(status.message());
  Append(outcome);
}

// One write a line, which O_APPEND keeps apart from other threads'. Without a history there is
// nothing to prove, so a failure ends the client.
void History::Append(const nlohmann::json& line) {
  const std::string text =
      line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  if (write(file_, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    std::perror("chaos_client: history");
    std::_Exit(2);
  }
}

}  // namespace kvstore::chaos
