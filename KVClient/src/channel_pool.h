// The connections to one server, one set for all clients of the process.
#ifndef KVCLIENT_SRC_CHANNEL_POOL_H_
#define KVCLIENT_SRC_CHANNEL_POOL_H_

#include <grpcpp/generic/generic_stub.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "KVClient/src/call_queue.h"
#include "KVClient/src/security.h"

namespace kvstore::client {

inline constexpr int kMaxConnections = 64;

// What a call weighs when its connection is chosen, in bytes on the way. A read's answer has no
// known size before it comes: it counts as a typical block.
inline constexpr int64_t kSmallCallLoad = 16 << 10;
inline constexpr int64_t kReadLoad = 1 << 20;

// Thread-safe.
class ChannelPool : public std::enable_shared_from_this<ChannelPool> {
  struct Connection {
    std::unique_ptr<grpc::GenericStub> stub;
    CallQueue* queue = nullptr;  // of all its calls
    std::atomic<int64_t> load{0};
  };

 public:
  // The connections to `server` (a gRPC target), made lazily. Calls with the same arguments share
  // one pool while any of them is in use.
  static std::shared_ptr<ChannelPool> Get(const std::string& server, int connections,
                                          const ChannelSecurity& security = {});

  ChannelPool(const std::string& server, int connections, const ChannelSecurity& security);

  // The use of one connection by one call; its load is counted until this goes.
  class Lease {
   public:
    Lease() = default;
    Lease(Lease&& other) noexcept { *this = std::move(other); }
    Lease& operator=(Lease&& other) noexcept {
      std::swap(pool_, other.pool_);
      std::swap(connection_, other.connection_);
      std::swap(load_, other.load_);
      return *this;
    }
    ~Lease() {
      if (connection_ != nullptr) connection_->load.fetch_sub(load_, std::memory_order_relaxed);
    }
    grpc::GenericStub& stub() const { return *connection_->stub; }
    CallQueue& queue() const { return *connection_->queue; }

   private:
    friend class ChannelPool;
    std::shared_ptr<ChannelPool> pool_;
    Connection* connection_ = nullptr;
    int64_t load_ = 0;
  };

  // The connection with the least on the way.
  Lease Acquire(int64_t load);

  // All of them, with no load.
  std::vector<Lease> AcquireEach();

 private:
  std::vector<Connection> connections_;
  std::atomic<uint32_t> turn_{0};
};

}  // namespace kvstore::client

#endif  // KVCLIENT_SRC_CHANNEL_POOL_H_
