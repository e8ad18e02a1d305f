#include "KVClient/src/unary_call.h"

#include <grpcpp/client_context.h>

#include <optional>
#include <utility>

#include "KVClient/src/channel_pool.h"
#include "KVClient/src/grpc_bytes.h"

namespace kvstore::client {
namespace {

using Done = absl::AnyInvocable<void(absl::StatusOr<grpc::ByteBuffer>) &&>;

// Attempts follow one another, so nothing here needs a lock.
class UnaryCall : public std::enable_shared_from_this<UnaryCall> {
 public:
  UnaryCall(std::shared_ptr<Core> core, UnaryRequest request, Done done)
      : core_(std::move(core)),
        request_(std::move(request)),
        done_(std::move(done)),
        retry_(request_.deadline) {}

  void Send() {
    server_ = core_->servers.Pick(Clock::now().time_since_epoch() / std::chrono::nanoseconds(1));
    attempt_.emplace();
    attempt_->lease = core_->servers.pool(server_).Acquire(request_.load);
    attempt_->context.set_deadline(ToSystem(request_.deadline));
    attempt_->lease.stub().UnaryCall(
        &attempt_->context, std::string("/kvstore.KVStoreService/") + request_.method, {},
        &request_.message, &attempt_->response,
        [self = shared_from_this()](grpc::Status status) { self->Answered(ToStatus(status)); });
  }

 private:
  struct Attempt {
    grpc::ClientContext context;
    ChannelPool::Lease lease;
    grpc::ByteBuffer response;
  };

  void Answered(const absl::Status& status) {
    core_->Heard(server_, status);
    grpc::ByteBuffer response;
    response.Swap(&attempt_->response);
    attempt_.reset();
    if (status.ok()) return Finish(std::move(response));

    const auto delay = retry_.Next(status, core_->CanMoveOn(status));
    if (!delay.has_value()) {
      return Finish(
          Explain(status, request_.method, core_->servers.name(server_), retry_.attempts()));
    }
    core_->Log(LogLevel::Verbose, std::string(request_.method) + " at " +
                                      core_->servers.name(server_) + " is tried again in " +
                                      std::to_string(delay->count()) +
                                      " ms: " + std::string(status.message()));
    if (delay->count() == 0) return Send();
    RunAfter(*delay, [self = shared_from_this()] { self->Send(); });
  }

  void Finish(absl::StatusOr<grpc::ByteBuffer> result) {
    request_.message.Clear();
    std::move(done_)(std::move(result));
  }

  const std::shared_ptr<Core> core_;
  UnaryRequest request_;
  Done done_;
  RetryState retry_;
  size_t server_ = 0;
  std::optional<Attempt> attempt_;
};

}  // namespace

void StartUnary(std::shared_ptr<Core> core, UnaryRequest request, Done done) {
  std::make_shared<UnaryCall>(std::move(core), std::move(request), std::move(done))->Send();
}

}  // namespace kvstore::client
