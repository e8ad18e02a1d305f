// Which of several servers a call goes to: the first that answers, the others stand by.
#ifndef KVCLIENT_SRC_SERVER_SET_H_
#define KVCLIENT_SRC_SERVER_SET_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "KVClient/src/channel_pool.h"

namespace kvstore::client {

// A server that failed is passed over this long; then one call tries it again.
inline constexpr std::chrono::milliseconds kServerRest{2'000};

// Thread-safe. Times are steady-clock nanoseconds, given so that tests need no sleep.
class ServerSet {
 public:
  // REQUIRES: at least one name.
  ServerSet(std::vector<std::string> names, int connections);

  // The server for the next attempt: the first that is up, or whose rest is over (then this call
  // alone probes it); where all are down, the one that has rested longest.
  size_t Pick(int64_t now);

  // Records what an attempt met. True where that is news.
  bool MarkDown(size_t server, int64_t now);
  bool MarkUp(size_t server);

  // Whether a server is up, so that the next attempt need not wait.
  bool AnyUp() const;

  const std::string& name(size_t server) const { return servers_[server].name; }
  ChannelPool& pool(size_t server) const { return *servers_[server].pool; }
  size_t size() const { return servers_.size(); }

 private:
  struct Server {
    std::string name;
    std::shared_ptr<ChannelPool> pool;
    std::atomic<int64_t> down_until{0};  // 0: up
  };

  std::vector<Server> servers_;
};

}  // namespace kvstore::client

#endif  // KVCLIENT_SRC_SERVER_SET_H_
