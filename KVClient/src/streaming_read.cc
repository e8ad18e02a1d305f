// StreamingRead: one stream at a time, a window of requests on it, reopened for what is left.
#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>

#include <array>
#include <memory>
#include <string>
#include <utility>

#include "KVClient/src/answers.h"
#include "KVClient/src/call_queue.h"
#include "KVClient/src/channel_pool.h"
#include "KVClient/src/grpc_bytes.h"
#include "KVClient/src/operations.h"
#include "KVCommon/limits.h"
#include "KVCommon/wire.h"

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
  StreamingRead(std::shared_ptr<Core> core, std::vector<std::string> locations, TakeBuffer take,
                const CallOptions& call, OnBlock on_block, absl::AnyInvocable<void() &&> done)
      : core_(std::move(core)),
        locations_(std::move(locations)),
        take_(std::move(take)),
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
    BlockAnswer answer = DecodeRead(response, next_, take_, timing);
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
  const TakeBuffer take_;
  const std::string completion_id_;
  const OnBlock on_block_;
  absl::AnyInvocable<void() &&> done_;
  RetryState retry_;
  size_t server_ = 0;
  size_t next_ = 0;  // the first without an answer
  bool progress_ = false;
};

// One stream. Start runs on its caller's thread; from then on everything on the queue's, one by
// one, so nothing here needs a lock. Owns itself until all that gRPC was asked for has ended.
class Stream {
 public:
  Stream(std::shared_ptr<StreamingRead> read, ChannelPool::Lease lease, Clock::time_point deadline)
      : read_(std::move(read)), lease_(std::move(lease)), to_send_(read_->next()) {
    context_.set_deadline(ToSystem(deadline));
    context_.set_initial_metadata_corked(true);  // goes out with the first request
    stream_ = lease_.stub().PrepareCall(&context_, "/kvstore.KVStoreService/StreamingRead",
                                        lease_.queue().queue());
  }

  // REQUIRES: a location is left to be asked for.
  void Start() {
    stream_->StartCall(nullptr);  // corked: gives no event
    pending_ = 2;                 // before the first event, which may come at once on its thread
    void* const read_tag = lease_.queue().Tag(&on_read_);
    grpc::ByteBuffer* const response = &response_;
    grpc::GenericClientAsyncReaderWriter* const stream = stream_.get();
    SendNext();
    // Nothing but gRPC's own objects, which live until this read has ended.
    stream->Read(response, read_tag);
  }

 private:
  struct Event final : CallQueue::Event {
    Event(Stream* its, void (Stream::*what)(bool)) : stream(its), happened(what) {}
    void Happened(bool ok) override {
      (stream->*happened)(ok);
      if (--stream->pending_ == 0) stream->End();
    }
    Stream* stream;
    void (Stream::*happened)(bool);
  };

  void Received(bool ok) {
    if (ok && answered_ == asked_) {
      unasked_ = true;
      context_.TryCancel();
    } else if (ok) {
      read_->Deliver(response_, timings_[answered_ % kStreamWindow]);
      response_.Clear();
      ++answered_;
      SendMore();
      // Behind the last answer it waits for the stream's end.
      ++pending_;
      return stream_->Read(&response_, lease_.queue().Tag(&on_read_));
    }
    ++pending_;
    stream_->Finish(&status_, lease_.queue().Tag(&on_finish_));
  }

  void Sent(bool ok) {
    sending_ = false;
    broken_ = !ok;  // the status says why
    SendMore();
  }

  void Finished(bool) {}

  // Sends the next request where the window has room for it and none is being sent.
  void SendMore() {
    if (sending_ || broken_ || to_send_ == read_->size()) return;
    if (asked_ - answered_ == kStreamWindow) return;
    ++pending_;
    SendNext();
  }

  // Counted as pending by the caller.
  void SendNext() {
    Timing& timing = timings_[asked_++ % kStreamWindow];
    timing.start = Clock::now();
    const grpc::ByteBuffer request = read_->Request(to_send_);
    timing.serialize_us = MicrosSince(timing.start);
    to_send_ = read_->NextGood(to_send_ + 1);
    grpc::WriteOptions options;
    if (to_send_ == read_->size()) options.set_last_message();
    sending_ = true;
    stream_->Write(request, options, lease_.queue().Tag(&on_write_));
  }

  void End() {
    const std::shared_ptr<StreamingRead> read = std::move(read_);
    absl::Status its = ToStatus(status_);
    if (unasked_) its = absl::InternalError("the server answers more than it was asked");
    delete this;
    read->Ended(std::move(its));
  }

  std::shared_ptr<StreamingRead> read_;
  const ChannelPool::Lease lease_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream_;
  Event on_read_{this, &Stream::Received};
  Event on_write_{this, &Stream::Sent};
  Event on_finish_{this, &Stream::Finished};
  grpc::ByteBuffer response_;
  grpc::Status status_;

  int pending_ = 0;  // events to come
  bool sending_ = false;
  bool broken_ = false;
  bool unasked_ = false;
  size_t to_send_;
  size_t asked_ = 0;
  size_t answered_ = 0;
  std::array<Timing, kStreamWindow> timings_;
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
                        TakeBuffer take, const CallOptions& call, OnBlock on_block,
                        absl::AnyInvocable<void() &&> done) {
  std::make_shared<StreamingRead>(std::move(core), std::move(locations), std::move(take), call,
                                  std::move(on_block), std::move(done))
      ->Open();
}

}  // namespace kvstore::client
