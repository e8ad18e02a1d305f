#include "KVClient/src/channel_pool.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <map>
#include <tuple>

#include "KVCommon/limits.h"
#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace kvstore::client {
namespace {

grpc::ChannelArguments Arguments() {
  grpc::ChannelArguments args;
  args.SetMaxReceiveMessageSize(kMaxMessageBytes);
  args.SetMaxSendMessageSize(kMaxMessageBytes);
  args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // or all channels share one connection
  args.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kStreamWindowBytes);
  args.SetInt(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, kMaxFrameBytes);
  args.SetInt(GRPC_ARG_HTTP2_WRITE_BUFFER_SIZE, kWriteBufferBytes);
  // With gRPC's probe of the path, or a connection's own window stays at 64 KiB and each block
  // costs two round trips.
  args.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 1);
  args.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 10'000);
  args.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  args.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // A restarted server is found within a second. The minimum is also the time that a connection
  // attempt may take, so it is not the first pause.
  args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  args.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1'000);
  args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1'000);
  args.SetInt(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, 1'000);
  // We retry ourselves; gRPC's own retries would keep a copy of every write.
  args.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  return args;
}

struct Registry {
  absl::Mutex mutex;
  std::map<std::tuple<std::string, int, std::string>, std::weak_ptr<ChannelPool>> pools
      ABSL_GUARDED_BY(mutex);
};

}  // namespace

std::shared_ptr<ChannelPool> ChannelPool::Get(const std::string& server, int connections,
                                              const ChannelSecurity& security) {
  static Registry* const registry = new Registry;  // never destroyed: calls may outlive statics
  absl::MutexLock lock(&registry->mutex);
  std::weak_ptr<ChannelPool>& known =
      registry->pools[{server, connections, security.Fingerprint()}];
  std::shared_ptr<ChannelPool> pool = known.lock();
  if (pool == nullptr) {
    known = pool = std::make_shared<ChannelPool>(server, connections, security);
  }
  return pool;
}

ChannelPool::ChannelPool(const std::string& server, int connections,
                         const ChannelSecurity& security)
    : connections_(connections) {
  grpc::ChannelArguments arguments = Arguments();
  security.AddTo(&arguments);
  const std::shared_ptr<grpc::ChannelCredentials> credentials = security.Credentials();
  for (Connection& connection : connections_) {
    connection.stub = std::make_unique<grpc::GenericStub>(
        grpc::CreateCustomChannel(server, credentials, arguments));
    connection.queue = &CallQueue::Next();
  }
}

ChannelPool::Lease ChannelPool::Acquire(int64_t load) {
  // Equal loads take turns, or an idle client would use its first connection only. Two calls that
  // choose at once may choose the same: it costs little and needs no lock.
  const size_t first = turn_.fetch_add(1, std::memory_order_relaxed);
  Connection* best = &connections_[first % connections_.size()];
  int64_t least = best->load.load(std::memory_order_relaxed);
  for (size_t i = 1; i < connections_.size(); ++i) {
    Connection& candidate = connections_[(first + i) % connections_.size()];
    const int64_t its = candidate.load.load(std::memory_order_relaxed);
    if (its < least) {
      best = &candidate;
      least = its;
    }
  }
  best->load.fetch_add(load, std::memory_order_relaxed);
  Lease lease;
  lease.pool_ = shared_from_this();
  lease.connection_ = best;
  lease.load_ = load;
  return lease;
}

std::vector<ChannelPool::Lease> ChannelPool::AcquireEach() {
  std::vector<Lease> leases(connections_.size());
  for (size_t i = 0; i < leases.size(); ++i) {
    leases[i].pool_ = shared_from_this();
    leases[i].connection_ = &connections_[i];
  }
  return leases;
}

}  // namespace kvstore::client
