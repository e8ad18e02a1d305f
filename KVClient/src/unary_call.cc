#include "KVClient/src/unary_call.h"

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
    Fleet& fleet = *core_->fleet;
    server_ = request_.first
                  ? *std::exchange(request_.first, std::nullopt)
                  : fleet.Pick(request_.operation, request_.keys, request_.load, request_.tried);
    if (retry_.attempts() > 1) fleet.CountRetry(server_);
    Attempt& attempt = attempt_.emplace();
    attempt.lease = fleet.pool(server_).Acquire(request_.load);
    attempt.context.set_deadline(ToSystem(request_.deadline));
    fleet.Authorize(&attempt.context);
    request_.ids.AddTo(&attempt.context);
    attempt.at_server.emplace(core_->fleet, server_, request_.operation, request_.load,
                              &attempt.context);
    CallQueue& queue = attempt.lease.queue();
    attempt.call = attempt.lease.stub().PrepareUnaryCall(
        &attempt.context, std::string("/kvstore.KVStoreService/") + request_.method,
        request_.message, queue.queue());
    attempt.call->StartCall();
    if (request_.canceller != nullptr) request_.canceller->Runs(&attempt.context);
    // The answer may be there before this returns, and all of this gone.
    attempt.call->Finish(&attempt.response, &attempt.status, queue.Tag(this));
  }

  void Happened(bool) override { Answered(attempt_->at_server->Ended(ToStatus(attempt_->status))); }

 private:
  struct Attempt {
    ChannelPool::Lease lease;
    grpc::ClientContext context;
    std::unique_ptr<grpc::GenericClientAsyncResponseReader> call;
    grpc::ByteBuffer response;
    grpc::Status status;
    std::optional<Fleet::Attempt> at_server;
  };

  void Answered(const absl::Status& status) {
    grpc::ByteBuffer response;
    response.Swap(&attempt_->response);
    const bool goes_on = request_.canceller == nullptr || request_.canceller->Runs(nullptr);
    const auto hint = status.ok() ? std::chrono::milliseconds(0) : RetryHintOf(attempt_->context);
    attempt_.reset();
    if (status.ok()) return Finish(std::move(response));
    if (!goes_on) return Finish(absl::CancelledError("another answer came first"));

    Fleet& fleet = *core_->fleet;
    if (status.code() == absl::StatusCode::kUnavailable && fleet.several()) {
      request_.tried.push_back(server_);
    }
    const std::string& server = fleet.name(server_);
    const auto delay = retry_.Next(status, fleet.CanMoveOn(status, request_.tried), hint);
    const bool moves = delay.has_value() && delay->count() == 0;
    if (!delay.has_value() || !fleet.MayRetry(moves)) {
      return Finish(Explain(delay.has_value() ? OutOfRetries(status) : status, request_.method,
                            server, retry_.attempts() - (delay.has_value() ? 1 : 0),
                            request_.ids.request_id));
    }
    core_->Log(LogLevel::Verbose, std::string(request_.method) + " at " + server + " (request " +
                                      request_.ids.request_id + ") is tried again in " +
                                      std::to_string(delay->count()) +
                                      " ms: " + std::string(status.message()));
    if (moves) return Send();
    request_.tried.clear();  // who was down may be back after the pause
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

void Canceller::Cancel() {
  absl::MutexLock lock(&mutex_);
  cancelled_ = true;
  if (context_ != nullptr) context_->TryCancel();
}

bool Canceller::Runs(grpc::ClientContext* context) {
  absl::MutexLock lock(&mutex_);
  context_ = context;
  if (cancelled_ && context_ != nullptr) context_->TryCancel();
  return !cancelled_;
}

void StartUnary(std::shared_ptr<Core> core, UnaryRequest request, Done done) {
  (new UnaryCall(std::move(core), std::move(request), std::move(done)))->Send();
}

}  // namespace kvstore::client
