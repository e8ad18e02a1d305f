#include "KVService/rpc/server.h"

#include <grpc/grpc.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <spdlog/fmt/fmt.h>

#include <thread>

#include "KVCommon/limits.h"
#include "KVCommon/status_macros.h"
#include "KVService/rpc/call_queues.h"
#include "KVService/rpc/front_door.h"
#include "KVService/rpc/grpc_log.h"
#include "KVService/rpc/health_service.h"
#include "KVService/rpc/introspection.h"
#include "KVService/rpc/kv_service.h"
#include "KVService/rpc/tls_credentials.h"

namespace kvstore {
namespace {

constexpr int kConcurrentStreams = 200;
constexpr int kKeepaliveMs = 10'000;
// What a client may send before its request is received (Admission): a block of 1.2 MB and no more.
constexpr int kUploadWindowBytes = 2 << 20;
constexpr std::chrono::milliseconds kLastAnswers{500};
constexpr char kNotOurs[] = "the address is not this machine's, or the port is taken";

// TCP_NODELAY is gRPC's default on every platform.
void Configure(grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.SetMaxSendMessageSize(kMaxMessageBytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kConcurrentStreams);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kUploadWindowBytes);
  // gRPC would widen the windows of who sends fast.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, kMaxFrameBytes);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_WRITE_BUFFER_SIZE, kWriteBufferBytes);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  // Clients ping as often as we do; gRPC would take that for abuse.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5'000);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // gRPC unpacks a compressed message before it looks at its size: 1.5 MB can become 1.5 GB.
  for (auto algorithm : {GRPC_COMPRESS_DEFLATE, GRPC_COMPRESS_GZIP}) {
    builder.SetCompressionAlgorithmSupportStatus(algorithm, false);
  }
}

}  // namespace

struct RpcServer::Parts {
  Parts(ChunkStore* store, RpcLog* log, Admission* admission, const AccessControl* access,
        HealthSource source)
      : service(store, log, admission, access), health(std::move(source)) {}

  KVService service;
  HealthService health;
  std::shared_ptr<grpc::ServerCredentials> credentials;
  std::unique_ptr<CallQueues> queues;  // end before the service that their calls are of
  std::unique_ptr<FrontDoor> door;
  std::unique_ptr<grpc::Server> server;
};

absl::StatusOr<std::unique_ptr<RpcServer>> RpcServer::Start(const RpcServerOptions& options,
                                                            ChunkStore* store, RpcLog* log,
                                                            Admission* admission,
                                                            HealthSource health) {
  TakeGrpcLog();
  auto parts = std::make_unique<Parts>(store, log, admission, options.access, std::move(health));
  if (options.reflection) KV_RETURN_IF_ERROR(OfferReflection());
  if (options.channelz) KV_RETURN_IF_ERROR(OfferChannelz());
  grpc::ServerBuilder builder;
  Configure(builder);
  if (options.channelz) builder.AddChannelArgument(GRPC_ARG_ENABLE_CHANNELZ, 1);
  parts->credentials =
      options.tls != nullptr ? MakeTlsCredentials(options.tls) : grpc::InsecureServerCredentials();
  grpc::ResourceQuota quota("received");
  quota.Resize(static_cast<size_t>(options.receive_bytes));
  builder.SetResourceQuota(quota);
  const auto cannot_listen = [&options](const absl::Status& why) {
    return absl::UnavailableError(fmt::format("cannot listen on {} port {}: {}", options.host,
                                              options.port, std::string(why.message())));
  };
  auto door = MakeFrontDoor({options.host, options.port, absl::Milliseconds(kKeepaliveMs), {}},
                            parts->credentials, &builder);
  if (!door.ok()) return cannot_listen(door.status());
  parts->door = *std::move(door);
  builder.RegisterService(&parts->service);
  builder.RegisterService(&parts->health);
  parts->queues = std::make_unique<CallQueues>(&builder, options.queues);
  parts->server = builder.BuildAndStart();
  if (!parts->server) {
    if (parts->door->port() == 0) return cannot_listen(absl::UnavailableError(kNotOurs));
    return absl::UnavailableError(
        "gRPC does not start. Has it, above, said why it refuses the certificate?");
  }
  for (const auto& queue : parts->queues->queues()) {
    parts->service.Serve(queue.get());
    parts->health.Serve(queue.get());
  }
  parts->queues->Run();
  parts->door->Open();
  const int port = parts->door->port();
  return std::unique_ptr<RpcServer>(new RpcServer(std::move(parts), port));
}

RpcServer::RpcServer(std::unique_ptr<Parts> parts, int port)
    : parts_(std::move(parts)), port_(port) {}

RpcServer::~RpcServer() { Shutdown(std::chrono::milliseconds(0)); }

void RpcServer::SetDraining(bool draining) { parts_->service.gate().SetDraining(draining); }

int RpcServer::running_calls() const { return parts_->service.gate().running(); }

void RpcServer::Shutdown(std::chrono::milliseconds grace) {
  const auto deadline = std::chrono::system_clock::now() + grace;
  parts_->health.EndWatches();
  // gRPC closes a connection as soon as its last call has been written to the socket, which resets
  // it where the client has sent anything since, and what the client has not received is lost. So
  // calls end first, and clients get a moment to take their answers.
  if (parts_->service.Drain(absl::FromChrono(deadline))) std::this_thread::sleep_for(kLastAnswers);
  parts_->door->Close();
  parts_->server->Shutdown(deadline);
  // Cancelled calls have yet to end here: what they wait for in the store ends by itself.
  parts_->service.gate().AwaitEmpty();
  parts_->queues->Stop();
}

}  // namespace kvstore
