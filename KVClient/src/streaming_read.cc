// StreamingRead: one stream at a time, a window of requests on it, reopened for what is left.
#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include <array>
#include <string>
#include <utility>

#include "KVClient/src/answers.h"
#include "KVClient/src/channel_pool.h"
#include "KVClient/src/grpc_bytes.h"
#include "KVClient/src/operations.h"
#include "KVCommon/limits.h"
#include "KVCommon/wire.h"
#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace kvstore::client {
namespace {

// A server would end the whole stream over such a location, the good ones behind it included.
absl::Status CheckLocation(const std::string& location) {
  if (location.empty()) return absl::InvalidArgumentError("the location is empty");
  if (location.size() > kMaxNameBytes || !wire::IsUtf8(location)) {
    return absl::InvalidArgumentError("the location is none that a Lookup gave");
  }
  return absl::OkStatus();
}

// The whole call. Streams follow one another and each delivers its answers one by one, so nothing
// here needs a lock.
class StreamingRead : public std::enable_shared_from_this<StreamingRead> {
 public:
  StreamingRead(std::shared_ptr<Core> core, std::vector<std::string> locations, PlaceBuffer place,
                const CallOptions& call, OnBlock on_block, absl::AnyInvocable<void() &&> done)
      : core_(std::move(core)),
        locations_(std::move(locations)),
        place_(std::move(place)),
        completion_id_(call.completion_id),
        on_block_(std::move(on_block)),
        done_(std::move(done)),
        retry_(core_->DeadlineOf(call)) {}

  // Opens a stream for what has no answer yet.
  void Open();

  // The next location from `index` on that can be asked for; their number where none is left.
  size_t NextGood(size_t index) const {
    while (index < locations_.size() && !CheckLocation(locations_[index]).ok()) ++index;
    return index;
  }
  size_t next() const { return next_; }
  size_t size() const { return locations_.size(); }

  grpc::ByteBuffer Request(size_t index) const {
    return ToByteBuffer(wire::Encode(wire::ReadRequest{
        core_->options.resource, core_->options.container, locations_[index], completion_id_}));
  }

  void Deliver(const grpc::ByteBuffer& response, const Timing& timing) {
    BlockAnswer answer = DecodeRead(response, next_, place_, timing);
    on_block_(next_++, std::move(answer));
    AnswerBad();
    progress_ = true;
  }

  void Ended(absl::Status status);

 private:
  // Answers the locations from next_ on that are never asked for.
  void AnswerBad() {
    for (const size_t good = NextGood(next_); next_ < good; ++next_) {
      on_block_(next_, BlockAnswer{.status = CheckLocation(locations_[next_])});
    }
  }

  const std::shared_ptr<Core> core_;
  const std::vector<std::string> locations_;
  const PlaceBuffer place_;
  const std::string completion_id_;
  const OnBlock on_block_;
  absl::AnyInvocable<void() &&> done_;
  RetryState retry_;
  size_t server_ = 0;
  size_t next_ = 0;  // the first without an answer
  bool progress_ = false;
};

// One stream. gRPC calls OnReadDone and OnWriteDone one by one each, but both at a time; OnDone
// after all others. Owns itself until then.
class Stream : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  Stream(std::shared_ptr<StreamingRead> read, ChannelPool::Lease lease, Clock::time_point deadline)
      : read_(std::move(read)), lease_(std::move(lease)), to_send_(read_->next()) {
    context_.set_deadline(ToSystem(deadline));
    lease_.stub().PrepareBidiStreamingCall(&context_, "/kvstore.KVStoreService/StreamingRead", {},
                                           this);
  }

  void Start() {
    StartRead(&response_);
    SendMore();
    StartCall();
  }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    Timing timing;
    {
      absl::MutexLock lock(&mutex_);
      if (answered_ == asked_) {
        unasked_ = true;
      } else {
        timing = timings_[answered_ % kStreamWindow];
      }
    }
    if (unasked_) return context_.TryCancel();
    read_->Deliver(response_, timing);
    response_.Clear();
    {
      absl::MutexLock lock(&mutex_);
      ++answered_;
    }
    SendMore();
    StartRead(&response_);  // behind the last answer it waits for the stream's end
  }

  void OnWriteDone(bool ok) override {
    {
      absl::MutexLock lock(&mutex_);
      sending_ = false;
      if (!ok) all_sent_ = true;  // the stream is broken, OnDone says why
    }
    if (ok) SendMore();
  }

  void OnDone(const grpc::Status& status) override {
    const std::shared_ptr<StreamingRead> read = std::move(read_);
    absl::Status its = ToStatus(status);
    if (unasked_) its = absl::InternalError("the server answers more than it was asked");
    delete this;
    read->Ended(std::move(its));
  }

 private:
  // Sends the next request where the window has room for it and none is being sent.
  void SendMore() {
    bool last = false;
    {
      absl::MutexLock lock(&mutex_);
      if (sending_ || all_sent_) return;
      to_send_ = read_->NextGood(to_send_);
      if (to_send_ == read_->size()) {
        last = all_sent_ = true;
      } else if (asked_ - answered_ == kStreamWindow) {
        return;
      } else {
        Timing& timing = timings_[asked_++ % kStreamWindow];
        timing.start = Clock::now();
        request_ = read_->Request(to_send_++);
        timing.serialize_us = MicrosSince(timing.start);
        sending_ = true;
      }
    }
    if (last) {
      StartWritesDone();
    } else {
      StartWrite(&request_);
    }
  }

  std::shared_ptr<StreamingRead> read_;
  const ChannelPool::Lease lease_;
  grpc::ClientContext context_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer response_;
  bool unasked_ = false;

  absl::Mutex mutex_;
  size_t to_send_ ABSL_GUARDED_BY(mutex_);
  size_t asked_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t answered_ ABSL_GUARDED_BY(mutex_) = 0;
  bool sending_ ABSL_GUARDED_BY(mutex_) = false;
  bool all_sent_ ABSL_GUARDED_BY(mutex_) = false;
  std::array<Timing, kStreamWindow> timings_ ABSL_GUARDED_BY(mutex_);
};

void StreamingRead::Open() {
  AnswerBad();
  if (next_ == locations_.size()) return std::move(done_)();
  progress_ = false;
  server_ = core_->servers.Pick(Clock::now().time_since_epoch() / std::chrono::nanoseconds(1));
  (new Stream(shared_from_this(), core_->servers.pool(server_).Acquire(kReadLoad),
              retry_.deadline()))
      ->Start();
}

void StreamingRead::Ended(absl::Status status) {
  if (next_ == locations_.size()) {
    core_->Heard(server_, absl::OkStatus());
    return std::move(done_)();
  }
  if (status.ok()) {
    status =
        absl::UnavailableError("the server ended the stream with " +
                               std::to_string(locations_.size() - next_) + " blocks not answered");
  }
  if (progress_) {
    retry_.Progress();
  } else {
    core_->Heard(server_, status);
  }
  const std::string& server = core_->servers.name(server_);
  if (const auto delay = retry_.Next(status, core_->CanMoveOn(status)); delay.has_value()) {
    core_->Log(LogLevel::Verbose, "StreamingRead at " + server + " goes on from block " +
                                      std::to_string(next_) + " in " +
                                      std::to_string(delay->count()) +
                                      " ms: " + std::string(status.message()));
    return RunAfter(*delay, [self = shared_from_this()] { self->Open(); });
  }
  const absl::Status reason = Explain(status, "StreamingRead", server, retry_.attempts());
  while (next_ < locations_.size()) {
    const absl::Status bad = CheckLocation(locations_[next_]);
    on_block_(next_++, BlockAnswer{.status = bad.ok() ? reason : bad});
  }
  std::move(done_)();
}

}  // namespace

void StartStreamingRead(std::shared_ptr<Core> core, std::vector<std::string> locations,
                        PlaceBuffer place, const CallOptions& call, OnBlock on_block,
                        absl::AnyInvocable<void() &&> done) {
  std::make_shared<StreamingRead>(std::move(core), std::move(locations), std::move(place), call,
                                  std::move(on_block), std::move(done))
      ->Open();
}

}  // namespace kvstore::client
