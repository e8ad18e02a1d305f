#include "KVClient/src/server_set.h"

#include <utility>

namespace kvstore::client {
namespace {

constexpr int64_t kRestNs = std::chrono::nanoseconds(kServerRest).count();

}  // namespace

ServerSet::ServerSet(std::vector<std::string> names, int connections) : servers_(names.size()) {
  for (size_t i = 0; i < names.size(); ++i) {
    servers_[i].pool = ChannelPool::Get(names[i], connections);
    servers_[i].name = std::move(names[i]);
  }
}

size_t ServerSet::Pick(int64_t now) {
  size_t rested = 0;
  int64_t earliest = INT64_MAX;
  for (size_t i = 0; i < servers_.size(); ++i) {
    int64_t until = servers_[i].down_until.load();
    if (until == 0) return i;
    // One call finds out whether the server is back; the others need not wait for its answer.
    if (until <= now && servers_[i].down_until.compare_exchange_strong(until, now + kRestNs)) {
      return i;
    }
    if (until < earliest) {
      earliest = until;
      rested = i;
    }
  }
  return rested;
}

bool ServerSet::MarkDown(size_t server, int64_t now) {
  return servers_[server].down_until.exchange(now + kRestNs) == 0;
}

bool ServerSet::MarkUp(size_t server) {
  std::atomic<int64_t>& down_until = servers_[server].down_until;
  return down_until.load() != 0 && down_until.exchange(0) != 0;
}

bool ServerSet::AnyUp() const {
  for (const Server& server : servers_) {
    if (server.down_until.load() == 0) return true;
  }
  return false;
}

}  // namespace kvstore::client
