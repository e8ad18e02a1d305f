// The servers of one client: where each call goes, how the servers fare, and who has to be left.
//
// A server is left at once when a call finds it unavailable, and when it is silent: it owes
// answers, has given none for kQuiet, and a ping (a Lookup of no block) over each of its
// connections is not answered in time either. Its calls are then cancelled, and go elsewhere. A
// ping likewise tells when it is back. So a call may take long at a server that works on it, and
// not at one that hangs.
//
// With one server there is nothing to choose: no key is computed, no ping sent.
#ifndef KVCLIENT_SRC_FLEET_H_
#define KVCLIENT_SRC_FLEET_H_

#include <grpcpp/client_context.h>
#include <grpcpp/support/byte_buffer.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "KVClient/include/kvstore/client.h"
#include "KVClient/src/channel_pool.h"
#include "KVClient/src/recent_latency.h"
#include "KVClient/src/retry.h"
#include "KVClient/src/routing.h"
#include "KVClient/src/security.h"
#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"

namespace kvstore::client {

inline constexpr std::chrono::milliseconds kQuiet{200};
// A ping may take this long, or 3 x the server's recent p99 where that is more (a slow network is
// full of blocks), but no longer than the second.
inline constexpr std::chrono::milliseconds kPingTime{500}, kLongestPing{5'000};
inline constexpr std::chrono::milliseconds kWatchEvery{50};

// Thread-safe.
class Fleet : public std::enable_shared_from_this<Fleet> {
 public:
  using Log = std::function<void(LogLevel, const std::string&)>;
  enum class Operation { kLookup, kRead, kWrite };

  // REQUIRES: at least one name. `ping` is an encoded LookupRequest; `token` may be null.
  Fleet(std::vector<std::string> names, int connections, const ChannelSecurity& security,
        std::unique_ptr<TokenSource> token, const grpc::ByteBuffer& ping, Log log);

  // Says who calls. For the context of every call.
  void Authorize(grpc::ClientContext* context) const {
    if (token_ != nullptr) token_->AddTo(context);
  }

  size_t size() const { return router_.size(); }
  const std::string& name(size_t server) const { return router_.name(server); }
  ChannelPool& pool(size_t server) const { return *servers_[server].pool; }

  // Whether keys matter.
  bool several() const { return router_.size() > 1; }

  // What the servers' answers say; until the first they are taken to share nothing, which is safe
  // for both: the home of a partition can serve it.
  bool shared() const { return shared_.load(std::memory_order_relaxed); }
  void SetShared(bool shared);

  // The server for an attempt. On a shared storage Lookups go anywhere, and blocks to their own
  // homes; else everything of a partition goes to the partition's. `tried` is passed over.
  size_t Pick(Operation operation, const LocationKeys& keys, int64_t load,
              std::span<const size_t> tried);

  // Whether a server is up that was not tried, so that the next attempt need not wait.
  bool CanMoveOn(const absl::Status& status, std::span<const size_t> tried) const;

  // Whether an attempt may follow one that failed, at once elsewhere (`moving`) or after a pause.
  bool MayRetry(bool moving) { return !several() || budget_.Take(moving); }

  // The p95 of a server's Reads of late; 0 where too few are known to tell.
  std::chrono::nanoseconds HedgeDelay(size_t server) const;
  void CountHedge(size_t server) { Count(servers_[server].hedges); }
  void CountHedgeWon(size_t server) { Count(servers_[server].hedges_won); }
  void CountRetry(size_t server) { Count(servers_[server].retries); }

  // Blocks that a stream is to bring count as on the way from when they are given to a server.
  void StartLoad(size_t server, int64_t load) { router_.Start(server, load); }
  void EndLoad(size_t server, int64_t load) { router_.End(server, load); }

  ClientStats stats() const;

  // A unary call or a stream at a server, from its start to its end.
  class Attempt {
   public:
    // `context` outlives this.
    Attempt(std::shared_ptr<Fleet> fleet, size_t server, Operation operation, int64_t load,
            grpc::ClientContext* context);
    ~Attempt();
    Attempt(const Attempt&) = delete;
    Attempt& operator=(const Attempt&) = delete;

    // A block of a stream has come, this long after it was asked for or the one before it came.
    void Progress(Clock::duration latency);

    // What became of it; what it means: UNAVAILABLE where it was cancelled since the server was
    // left. `blame`: whether an UNAVAILABLE is held against the server. `measure`: whether its
    // latency is that of an answer.
    absl::Status Ended(const absl::Status& status, bool blame = true, bool measure = true);

   private:
    friend class Fleet;
    const std::shared_ptr<Fleet> fleet_;
    const size_t server_;
    const Operation operation_;
    const int64_t load_;
    grpc::ClientContext* const context_;
    const Clock::time_point start_ = Clock::now();
    const bool was_up_;
    // Guarded by the server's mutex.
    bool left_ = false;
    Attempt* previous_ = nullptr;
    Attempt* next_ = nullptr;
  };

 private:
  struct alignas(64) Server {
    std::shared_ptr<ChannelPool> pool;
    // Since when it owes an answer and has given none; 0 where it owes none. Also what was not
    // waited for any more: calls with short deadlines must not hide a server that hangs.
    std::atomic<int64_t> owes{0};
    std::atomic<int64_t> in_flight{0};
    std::atomic<uint64_t> calls{0}, blocks_read{0}, failures{0}, retries{0}, hedges{0},
        hedges_won{0}, overflowed{0}, further_home{0}, left{0};
    std::atomic<bool> pinging{false};
    RecentLatency latency;  // of all answers
    RecentLatency reads;    // of Reads
    absl::Mutex mutex;
    Attempt* attempts ABSL_GUARDED_BY(mutex) =
        nullptr;  // that run, where there are several servers
  };

  static void Count(std::atomic<uint64_t>& counter) {
    counter.fetch_add(1, std::memory_order_relaxed);
  }
  void Say(LogLevel level, const std::string& message) const {
    if (log_) log_(level, message);
  }
  void Changed(size_t server, Router::Change change, const std::string& why);
  // Something has come from the server: whether it owes more.
  void Heard(size_t server, bool owes_more);
  void Report(size_t server, Router::Outcome outcome, Clock::duration latency, bool was_up,
              const std::string& why);
  void KeepWatch();
  void Watch();
  void Ping(size_t server, bool suspected);
  void Pinged(size_t server, bool suspected, int64_t owed, bool answered);
  void Leave(size_t server);

  Router router_;
  std::vector<Server> servers_;
  const std::unique_ptr<TokenSource> token_;
  const grpc::ByteBuffer ping_;
  const Log log_;
  RetryBudget budget_;
  std::atomic<bool> shared_{false};
  std::atomic<bool> watching_{false};
};

}  // namespace kvstore::client

#endif  // KVCLIENT_SRC_FLEET_H_
