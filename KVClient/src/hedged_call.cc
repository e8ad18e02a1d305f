#include "KVClient/src/hedged_call.h"

#include <array>
#include <utility>

#include "KVClient/src/call_queue.h"

namespace kvstore::client {
namespace {

using Done = absl::AnyInvocable<void(absl::StatusOr<grpc::ByteBuffer>) &&>;

class HedgedCall : public std::enable_shared_from_this<HedgedCall> {
 public:
  HedgedCall(std::shared_ptr<Core> core, UnaryRequest request, size_t first, Done done)
      : core_(std::move(core)), second_(request), first_(first), done_(std::move(done)) {
    second_.tried.push_back(first);
    request.first = first;
    first_request_ = std::move(request);
  }

  void Start(std::chrono::nanoseconds patience) {
    Send(0, std::move(first_request_));
    RunAfter(std::chrono::ceil<std::chrono::milliseconds>(patience),
             [self = shared_from_this()] { self->Hedge(); });
  }

 private:
  void Send(size_t leg, UnaryRequest request) {
    request.canceller = cancellers_[leg];
    StartUnary(core_, std::move(request),
               [self = shared_from_this(), leg](absl::StatusOr<grpc::ByteBuffer> response) {
                 self->Ended(leg, std::move(response));
               });
  }

  void Hedge() {
    Fleet& fleet = *core_->fleet;
    UnaryRequest request;
    {
      absl::MutexLock lock(&mutex_);
      if (ended_ || running_ == 0) return;
      const size_t other = fleet.Pick(second_.operation, second_.keys, second_.load, second_.tried);
      if (other == first_ || !fleet.MayRetry(false)) return;
      fleet.CountHedge(other);
      second_server_ = other;
      request = std::move(second_);
      request.first = other;
      ++running_;
    }
    Send(1, std::move(request));
  }

  void Ended(size_t leg, absl::StatusOr<grpc::ByteBuffer> response) {
    {
      absl::MutexLock lock(&mutex_);
      --running_;
      if (ended_) return;
      // The other may still do better.
      if (!response.ok() && running_ > 0) return;
      ended_ = true;
    }
    cancellers_[1 - leg]->Cancel();
    if (leg == 1 && response.ok()) core_->fleet->CountHedgeWon(second_server_);
    std::move(done_)(std::move(response));
  }

  const std::shared_ptr<Core> core_;
  UnaryRequest first_request_;
  UnaryRequest second_;
  const size_t first_;
  size_t second_server_ = 0;  // written before the second is sent
  Done done_;
  const std::array<std::shared_ptr<Canceller>, 2> cancellers_ = {std::make_shared<Canceller>(),
                                                                 std::make_shared<Canceller>()};
  absl::Mutex mutex_;
  int running_ ABSL_GUARDED_BY(mutex_) = 1;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace

void StartHedged(std::shared_ptr<Core> core, UnaryRequest request, Done done) {
  Fleet& fleet = *core->fleet;
  const size_t first = fleet.Pick(request.operation, request.keys, request.load, {});
  const auto patience = fleet.HedgeDelay(first);
  if (!fleet.shared() || patience.count() == 0) {
    request.first = first;
    return StartUnary(std::move(core), std::move(request), std::move(done));
  }
  std::make_shared<HedgedCall>(std::move(core), std::move(request), first, std::move(done))
      ->Start(patience);
}

}  // namespace kvstore::client
