#include "benchmarks/dataplane/raw_slots.h"

#include <grpcpp/client_context.h>

#include <optional>
#include <utility>

#include "KVCommon/limits.h"
#include "KVCommon/slice.h"
#include "benchmarks/dataplane/raw_channel.h"

namespace kvstore::bench {
namespace {

class UnarySlot final : public RawSlot, public RawEvent {
 public:
  UnarySlot(const RawWork& work, RawConnection& connection,
            std::vector<std::span<std::byte>> memory)
      : work_(work), connection_(connection), memory_(memory.front()) {
    connection_.slots.push_back(this);
    ++connection_.running;
  }

  void Next() override {
    const std::optional<uint64_t> number = work_.meter.Begin();
    if (!number.has_value()) {
      --connection_.running;
      return;
    }
    began_ = Clock::now();
    const Op op = work_.options.op;
    std::span<const std::byte> payload;
    if (op == Op::kWrite) payload = memory_.first(work_.options.bytes);
    if (op == Op::kLookup) payload = AsBytes(work_.lookup);
    const BenchRequest request{.answer_bytes = work_.answer_bytes,
                               .index = *number % work_.options.blocks};
    context_.emplace();
    call_ = connection_.stub->PrepareUnaryCall(&*context_,
                                               op == Op::kWrite    ? kWriteMethod
                                               : op == Op::kLookup ? kLookupMethod
                                                                   : kReadMethod,
                                               Encode(request, payload), &connection_.queue);
    call_->StartCall();
    call_->Finish(&response_, &status_, static_cast<RawEvent*>(this));
  }

  void Happened(bool ok) override {
    std::optional<size_t> bytes;
    if (ok && status_.ok()) {
      bytes = CopyOut(response_, memory_);
      if (bytes != work_.answer_bytes) bytes.reset();
    }
    response_.Clear();
    if (bytes.has_value() && work_.options.op == Op::kWrite) bytes = work_.options.bytes;
    work_.meter.End(began_, bytes);
    Next();
  }

 private:
  const RawWork& work_;
  RawConnection& connection_;
  const std::span<std::byte> memory_;
  Clock::time_point began_;
  std::optional<grpc::ClientContext> context_;
  std::unique_ptr<grpc::GenericClientAsyncResponseReader> call_;
  grpc::ByteBuffer response_;
  grpc::Status status_;
};

// A stream of `blocks` requests, kStreamWindow of them unanswered at most.
class StreamSlot final : public RawSlot {
 public:
  StreamSlot(const RawWork& work, RawConnection& connection,
             std::vector<std::span<std::byte>> memory)
      : work_(work), connection_(connection), memory_(std::move(memory)) {
    connection_.slots.push_back(this);
    ++connection_.running;
  }

  void Next() override {
    if (!work_.meter.Begin().has_value()) {
      --connection_.running;
      return;
    }
    began_ = Clock::now();
    sent_ = received_ = bytes_ = 0;
    writing_ = false;
    context_.emplace();
    stream_ = connection_.stub->PrepareCall(&*context_, kStreamMethod, &connection_.queue);
    stream_->StartCall(&on_start_);
  }

 private:
  struct Event final : RawEvent {
    Event(StreamSlot* slot, void (StreamSlot::*what)(bool)) : slot(slot), what(what) {}
    void Happened(bool ok) override { (slot->*what)(ok); }
    StreamSlot* slot;
    void (StreamSlot::*what)(bool);
  };

  void Started(bool ok) {
    if (!ok) return stream_->Finish(&status_, &on_finish_);
    Send();
    stream_->Read(&response_, &on_read_);
  }

  void Send() {
    if (writing_ || sent_ == work_.options.blocks || sent_ - received_ >= kStreamWindow) return;
    const BenchRequest request{.answer_bytes = work_.answer_bytes, .index = sent_};
    ++sent_;
    writing_ = true;
    grpc::WriteOptions options;
    if (sent_ == work_.options.blocks) options.set_last_message();
    stream_->Write(Encode(request, {}), options, &on_write_);
  }

  void Written(bool ok) {
    writing_ = false;
    if (ok) Send();
  }

  void Received(bool ok) {
    if (!ok) return stream_->Finish(&status_, &on_finish_);
    bytes_ += CopyOut(response_, memory_[received_++]).value_or(0);
    response_.Clear();
    Send();
    stream_->Read(&response_, &on_read_);
  }

  void Finished(bool) {
    const bool good = status_.ok() && bytes_ == work_.options.blocks * work_.options.bytes;
    work_.meter.End(began_, good ? std::optional<size_t>(bytes_) : std::nullopt);
    Next();
  }

  const RawWork& work_;
  RawConnection& connection_;
  const std::vector<std::span<std::byte>> memory_;
  Event on_start_{this, &StreamSlot::Started};
  Event on_write_{this, &StreamSlot::Written};
  Event on_read_{this, &StreamSlot::Received};
  Event on_finish_{this, &StreamSlot::Finished};
  Clock::time_point began_;
  size_t sent_ = 0;
  size_t received_ = 0;
  size_t bytes_ = 0;
  bool writing_ = false;
  std::optional<grpc::ClientContext> context_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream_;
  grpc::ByteBuffer response_;
  grpc::Status status_;
};

}  // namespace

std::unique_ptr<RawSlot> MakeUnarySlot(const RawWork& work, RawConnection& connection,
                                       std::vector<std::span<std::byte>> memory) {
  return std::make_unique<UnarySlot>(work, connection, std::move(memory));
}

std::unique_ptr<RawSlot> MakeStreamSlot(const RawWork& work, RawConnection& connection,
                                        std::vector<std::span<std::byte>> memory) {
  return std::make_unique<StreamSlot>(work, connection, std::move(memory));
}

}  // namespace kvstore::bench
