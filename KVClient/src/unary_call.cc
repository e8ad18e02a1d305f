#include "KVClient/src/unary_call.h"

#include <grpcpp/client_context.h>

#include <memory>
#include <optional>
#include <utility>

#include "KVClient/src/call_queue.h"
#include "KVClient/src/channel_pool.h"
#include "KVClient/src/grpc_bytes.h"

namespace kvstore::client {
namespace {

using Done = absl::AnyInvocable<void(absl::StatusOr<grpc::ByteBuffer>) &&>;

// Attempts follow one another, so nothing here needs a lock.
// Owns itself until it has ended.
class UnaryCall final : public CallQueue::Event {
 public:
  UnaryCall(std::shared_ptr<Core> core, UnaryRequest request, Done done)
      : core_(std::move(core)),
        request_(std::move(request)),
        done_(std::move(done)),
        retry_(request_.deadline) {}

  void Send() {
    server_ = core_->servers.Pick(Clock::now().time_since_epoch() / std::chrono::nanoseconds(1));
    Attempt& attempt = attempt_.emplace();
    attempt.lease = core_->servers.pool(server_).Acquire(request_.load);
    attempt.context.set_deadline(ToSystem(request_.deadline));
    CallQueue& queue = attempt.lease.queue();
    attempt.call = attempt.lease.stub().PrepareUnaryCall(
        &attempt.context, std::string("/kvstore.KVStoreService/") + request_.method,
        request_.message, queue.queue());
    attempt.call->StartCall();
    // The answer may be there before this returns, and all of this gone.
    attempt.call->Finish(&attempt.response, &attempt.status, queue.Tag(this));
  }

  void Happened(bool) override { Answered(ToStatus(attempt_->status)); }

 private:
  struct Attempt {
    ChannelPool::Lease lease;
    grpc::ClientContext context;
    std::unique_ptr<grpc::GenericClientAsyncResponseReader> call;
    grpc::ByteBuffer response;
    grpc::Status status;
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
    RunAfter(*delay, [this] { Send(); });
  }

  void Finish(absl::StatusOr<grpc::ByteBuffer> result) {
    const std::unique_ptr<UnaryCall> self(this);
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
  (new UnaryCall(std::move(core), std::move(request), std::move(done)))->Send();
}

}  // namespace kvstore::client
