#include "benchmarks/dataplane/blocking.h"

#include <algorithm>
#include <deque>
#include <thread>
#include <utility>
#include <vector>

namespace kvstore::bench {
namespace {

void Drive(Meter& meter, Connection& connection, int depth) {
  std::deque<Clock::time_point> began;
  const auto send = [&] {
    const std::optional<uint64_t> number = meter.Begin();
    if (!number.has_value()) return false;
    const auto now = Clock::now();
    if (!connection.Send(*number)) {
      meter.End(now, std::nullopt);
      return false;
    }
    began.push_back(now);
    return true;
  };
  while (static_cast<int>(began.size()) < depth && send()) {
  }
  while (!began.empty()) {
    meter.End(began.front(), connection.Receive());
    began.pop_front();
    send();
  }
}

}  // namespace

absl::Status RunBlocking(Meter& meter, int in_flight, int max_connections, const Connect& connect) {
  const int count = std::min(in_flight, max_connections);
  std::vector<std::pair<std::unique_ptr<Connection>, int>> connections;
  for (int i = 0; i < count; ++i) {
    const int depth = in_flight / count + (i < in_flight % count ? 1 : 0);
    absl::StatusOr<std::unique_ptr<Connection>> made = connect(depth);
    if (!made.ok()) return made.status();
    connections.emplace_back(*std::move(made), depth);
  }
  std::vector<std::thread> threads;
  for (auto& [connection, depth] : connections) {
    threads.emplace_back(
        [&meter, it = connection.get(), depth = depth] { Drive(meter, *it, depth); });
  }
  for (std::thread& thread : threads) thread.join();
  return absl::OkStatus();
}

}  // namespace kvstore::bench
