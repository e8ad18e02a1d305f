#include "KVClient/src/ping.h"

#include <grpcpp/client_context.h>

#include <atomic>
#include <memory>
#include <utility>

#include "KVClient/src/call_queue.h"
#include "KVClient/src/retry.h"

namespace kvstore::client {
namespace {

// Of all connections; runs `done` when the last of them has told.
struct Result {
  explicit Result(absl::AnyInvocable<void(bool) &&> its) : done(std::move(its)) {}
  ~Result() { std::move(done)(answered.load()); }

  absl::AnyInvocable<void(bool) &&> done;
  std::atomic<bool> answered{true};
};

// Owns itself until it has happened.
class OnePing final : public CallQueue::Event {
 public:
  OnePing(ChannelPool::Lease lease, std::shared_ptr<Result> result)
      : lease_(std::move(lease)), result_(std::move(result)) {}

  void Send(const grpc::ByteBuffer& message, Clock::time_point deadline,
            absl::FunctionRef<void(grpc::ClientContext*)> authorize) {
    authorize(&context_);
    context_.set_deadline(ToSystem(deadline));
    context_.set_wait_for_ready(true);  // so that a server that starts is met at once
    CallQueue& queue = lease_.queue();
    call_ = lease_.stub().PrepareUnaryCall(&context_, "/kvstore.KVStoreService/Lookup", message,
                                           queue.queue());
    call_->StartCall();
    call_->Finish(&response_, &status_, queue.Tag(this));
  }

  void Happened(bool) override {
    const std::unique_ptr<OnePing> self(this);
    switch (status_.error_code()) {
      case grpc::StatusCode::UNAVAILABLE:
      case grpc::StatusCode::DEADLINE_EXCEEDED:
      case grpc::StatusCode::CANCELLED:
        result_->answered.store(false);
        break;
      default:
        break;
    }
  }

 private:
  const ChannelPool::Lease lease_;
  const std::shared_ptr<Result> result_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::GenericClientAsyncResponseReader> call_;
  grpc::ByteBuffer response_;
  grpc::Status status_;
};

}  // namespace

void PingAll(ChannelPool& pool, const grpc::ByteBuffer& message, std::chrono::nanoseconds time,
             absl::FunctionRef<void(grpc::ClientContext*)> authorize,
             absl::AnyInvocable<void(bool answered) &&> done) {
  const auto deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(time);
  auto result = std::make_shared<Result>(std::move(done));
  for (ChannelPool::Lease& lease : pool.AcquireEach()) {
    (new OnePing(std::move(lease), result))->Send(message, deadline, authorize);
  }
}

}  // namespace kvstore::client
