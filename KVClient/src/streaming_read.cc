// StreamingRead: a stream to each server that is the home of some of the blocks, a window of
// requests on each, and new ones for what broken streams leave.
#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>

#include <array>
#include <map>
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

// Hands the answers to the caller in order, one at a time, whichever streams bring them.
class InOrder {
 public:
  InOrder(size_t size, OnBlock on_block, absl::AnyInvocable<void() &&> done)
      : size_(size), on_block_(std::move(on_block)), done_(std::move(done)) {}

  // The answer for block `index`, on any thread. Runs the caller's functions for it and those that
  // waited for it, unless another thread just does. REQUIRES: once for each.
  void Answer(size_t index, BlockAnswer answer) {
    {
      absl::MutexLock lock(&mutex_);
      if (delivering_ || index != next_) {
        early_.emplace(index, std::move(answer));
        return;
      }
      delivering_ = true;
    }
    while (true) {
      on_block_(index, std::move(answer));
      absl::MutexLock lock(&mutex_);
      index = ++next_;
      const auto its = early_.find(index);
      if (its == early_.end()) {
        delivering_ = false;
        if (next_ != size_) return;
        break;
      }
      answer = std::move(its->second);
      early_.erase(its);
    }
    std::move(done_)();
  }

  void Nothing() { std::move(done_)(); }

 private:
  const size_t size_;
  const OnBlock on_block_;
  absl::AnyInvocable<void() &&> done_;
  absl::Mutex mutex_;
  size_t next_ ABSL_GUARDED_BY(mutex_) = 0;
  bool delivering_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<size_t, BlockAnswer> early_ ABSL_GUARDED_BY(mutex_);
};

// Blocks that are asked for together, and how often they were.
struct Part {
  std::vector<size_t> blocks;  // in order
  RetryState retry;
  std::vector<size_t> tried;          // servers
  std::chrono::milliseconds hint{0};  // of the server that left them
};

// The whole call.
class StreamingRead : public std::enable_shared_from_this<StreamingRead> {
 public:
  StreamingRead(std::shared_ptr<Core> core, std::vector<std::string> locations, TakeBuffer take,
                const CallOptions& call, OnBlock on_block, absl::AnyInvocable<void() &&> done)
      : core_(std::move(core)),
        locations_(std::move(locations)),
        take_(std::move(take)),
        completion_id_(call.completion_id),
        deadline_(core_->DeadlineOf(call)),
        ids_(CallIds::Of(call)),
        answers_(locations_.size(), std::move(on_block), std::move(done)) {}

  void Start();

  grpc::ByteBuffer Request(size_t block) const {
    return ToByteBuffer(wire::Encode(wire::ReadRequest{
        core_->options.resource, core_->options.container, locations_[block], completion_id_}));
  }

  void Deliver(size_t block, const grpc::ByteBuffer& response, const Timing& timing) {
    answers_.Answer(block, DecodeRead(response, block, take_, timing));
  }

  // A stream to `server` has ended; `part` is what it leaves.
  void Ended(size_t server, Part part, absl::Status status, bool progress);

  const std::shared_ptr<Core>& core() const { return core_; }
  Clock::time_point deadline() const { return deadline_; }
  const CallIds& ids() const { return ids_; }

 private:
  // Opens a stream to each server that blocks of the part belong to.
  void Send(Part part);

  const std::shared_ptr<Core> core_;
  const std::vector<std::string> locations_;
  const TakeBuffer take_;
  const std::string completion_id_;
  const Clock::time_point deadline_;
  const CallIds ids_;
  InOrder answers_;
};

// One stream. Start runs on its caller's thread; from then on everything on the queue's, one by
// one, so nothing here needs a lock. Owns itself until all that gRPC was asked for has ended.
// Each of its blocks counts as load of the server's until it has come.
class Stream {
 public:
  Stream(std::shared_ptr<StreamingRead> read, size_t server, Part part)
      : read_(std::move(read)),
        server_(server),
        part_(std::move(part)),
        lease_(fleet().pool(server).Acquire(kReadLoad)) {
    context_.set_deadline(ToSystem(read_->deadline()));
    fleet().Authorize(&context_);
    read_->ids().AddTo(&context_);
    context_.set_initial_metadata_corked(true);  // goes out with the first request
    at_server_.emplace(read_->core()->fleet, server_, Fleet::Operation::kRead, 0, &context_);
    stream_ = lease_.stub().PrepareCall(&context_, "/kvstore.KVStoreService/StreamingRead",
                                        lease_.queue().queue());
  }

  // REQUIRES: the part has a block.
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

  Fleet& fleet() const { return *read_->core()->fleet; }

  void Received(bool ok) {
    if (ok && answered_ == asked_) {
      unasked_ = true;
      context_.TryCancel();
    } else if (ok) {
      const Timing& timing = timings_[answered_ % kStreamWindow];
      const Clock::time_point now = Clock::now();
      at_server_->Progress(now - std::max(timing.start, last_));
      last_ = now;
      fleet().EndLoad(server_, kReadLoad);
      read_->Deliver(part_.blocks[answered_++], response_, timing);
      response_.Clear();
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
    if (sending_ || broken_ || asked_ == part_.blocks.size()) return;
    if (asked_ - answered_ == kStreamWindow) return;
    ++pending_;
    SendNext();
  }

  // Counted as pending by the caller.
  void SendNext() {
    Timing& timing = timings_[asked_ % kStreamWindow];
    timing.start = Clock::now();
    const grpc::ByteBuffer request = read_->Request(part_.blocks[asked_++]);
    timing.serialize_us = MicrosSince(timing.start);
    grpc::WriteOptions options;
    if (asked_ == part_.blocks.size()) options.set_last_message();
    sending_ = true;
    stream_->Write(request, options, lease_.queue().Tag(&on_write_));
  }

  void End() {
    const std::shared_ptr<StreamingRead> read = read_;
    const size_t server = server_;
    Part left = std::move(part_);
    const bool progress = answered_ > 0;
    const auto unanswered = static_cast<int64_t>(left.blocks.size() - answered_);
    left.blocks.erase(left.blocks.begin(), left.blocks.begin() + static_cast<ptrdiff_t>(answered_));
    fleet().EndLoad(server_, unanswered * kReadLoad);
    absl::Status status = ToStatus(status_);
    if (unasked_) {
      status = absl::InternalError("the server answers more than it was asked");
    } else if (status.ok() && unanswered > 0) {
      status = absl::UnavailableError("the server ended the stream with " +
                                      std::to_string(unanswered) + " blocks not answered");
    }
    left.hint = RetryHintOf(context_);
    // With one server a stream that got something done is just taken up again.
    status = at_server_->Ended(status, !progress || fleet().several(), false);
    delete this;
    if (!left.blocks.empty()) read->Ended(server, std::move(left), std::move(status), progress);
  }

  const std::shared_ptr<StreamingRead> read_;
  const size_t server_;
  Part part_;
  const ChannelPool::Lease lease_;
  grpc::ClientContext context_;
  std::optional<Fleet::Attempt> at_server_;
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
  size_t asked_ = 0;
  size_t answered_ = 0;
  Clock::time_point last_;  // answer
  std::array<Timing, kStreamWindow> timings_;
};

void StreamingRead::Start() {
  if (locations_.empty()) return answers_.Nothing();
  Part all{{}, RetryState(deadline_), {}};
  all.blocks.reserve(locations_.size());
  std::vector<size_t> bad;
  for (size_t i = 0; i < locations_.size(); ++i) {
    (CheckLocation(locations_[i]).ok() ? all.blocks : bad).push_back(i);
  }
  for (const size_t block : bad) {
    answers_.Answer(block, BlockAnswer{.status = CheckLocation(locations_[block])});
  }
  if (!all.blocks.empty()) Send(std::move(all));
}

void StreamingRead::Send(Part part) {
  Fleet& fleet = *core_->fleet;
  std::map<size_t, std::vector<size_t>> by_server;
  if (fleet.several()) {
    for (const size_t block : part.blocks) {
      const size_t server =
          fleet.Pick(Fleet::Operation::kRead, KeysOf(locations_[block]), kReadLoad, part.tried);
      fleet.StartLoad(server, kReadLoad);  // before the next is chosen
      by_server[server].push_back(block);
    }
  } else {
    fleet.StartLoad(0, static_cast<int64_t>(part.blocks.size()) * kReadLoad);
    by_server.emplace(0, std::move(part.blocks));
  }
  for (auto& [server, blocks] : by_server) {
    if (part.retry.attempts() > 1) fleet.CountRetry(server);
    (new Stream(shared_from_this(), server, Part{std::move(blocks), part.retry, part.tried}))
        ->Start();
  }
}

void StreamingRead::Ended(size_t server, Part part, absl::Status status, bool progress) {
  Fleet& fleet = *core_->fleet;
  if (progress) {
    part.retry.Progress();
    part.tried.clear();
  }
  if (status.code() == absl::StatusCode::kUnavailable && fleet.several()) {
    part.tried.push_back(server);
  }
  const auto delay = part.retry.Next(status, fleet.CanMoveOn(status, part.tried), part.hint);
  const bool moves = delay.has_value() && delay->count() == 0;
  if (delay.has_value() && fleet.MayRetry(moves)) {
    core_->Log(LogLevel::Verbose,
               "StreamingRead at " + fleet.name(server) + " (request " + ids_.request_id +
                   ") leaves " + std::to_string(part.blocks.size()) +
                   " blocks to be asked for again in " + std::to_string(delay->count()) +
                   " ms: " + std::string(status.message()));
    if (!moves) part.tried.clear();  // who was down may be back after the pause
    return RunAfter(*delay, [self = shared_from_this(), part = std::move(part)]() mutable {
      self->Send(std::move(part));
    });
  }
  const int attempts = part.retry.attempts() - (delay.has_value() ? 1 : 0);
  const absl::Status reason =
      Explain(delay.has_value() ? OutOfRetries(status) : status, "StreamingRead",
              fleet.name(server), attempts, ids_.request_id);
  for (const size_t block : part.blocks) answers_.Answer(block, BlockAnswer{.status = reason});
}

}  // namespace

void StartStreamingRead(std::shared_ptr<Core> core, std::vector<std::string> locations,
                        TakeBuffer take, const CallOptions& call, OnBlock on_block,
                        absl::AnyInvocable<void() &&> done) {
  core->estimator.ReadsBegin(LoadEstimator::Now(), locations.size());
  OnBlock counted = [core, on_block = std::move(on_block)](size_t index, BlockAnswer answer) {
    CountRead(core->estimator, answer);
    on_block(index, std::move(answer));
  };
  std::make_shared<StreamingRead>(std::move(core), std::move(locations), std::move(take), call,
                                  std::move(counted), std::move(done))
      ->Start();
}

}  // namespace kvstore::client
