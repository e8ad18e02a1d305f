#include "KVService/rpc/read_stream.h"

#include <utility>

#include "KVCommon/limits.h"
#include "KVCommon/status_macros.h"
#include "KVService/rpc/byte_buffer.h"
#include "KVService/rpc/call_origin.h"
#include "KVService/rpc/kv_service.h"

namespace kvstore {

absl::StatusOr<LocatedRead> ParseRead(const grpc::ByteBuffer& request) {
  const ReceivedMessage message(request);
  KV_ASSIGN_OR_RETURN(wire::ReadRequest read, wire::ParseReadRequest(message.pieces()));
  LocatedRead located;
  KV_ASSIGN_OR_RETURN(located.container, ContainerOf(read.resource_name, read.container_name));
  KV_RETURN_IF_ERROR(CheckLocation(read.location));
  KV_RETURN_IF_ERROR(CheckLength("completion_id", read.completion_id));
  located.location = std::move(read.location);
  located.completion_id = std::move(read.completion_id);
  return located;
}

grpc::ByteBuffer AnswerRead(const absl::StatusOr<ChunkStore::ReadResult>& result,
                            const Stopwatch& watch, RpcRecord* record) {
  wire::ReadResponse response;
  if (!result.ok()) {
    response.success = absl::IsNotFound(result.status());
    if (!response.success) {
      response.error = std::string(result.status().message());
      LogFailure(*record, result.status());
    }
    response.metrics = watch.Metrics(0);
    return ToByteBuffer(wire::FrameReadResponse(response, 0).head);
  }
  response.success = true;
  response.found = true;
  response.has_chunk = true;
  response.metrics = watch.Metrics(result->storage_us);
  record->found += 1;
  record->bytes += static_cast<int64_t>(result->chunk.size());
  record->storage_us += result->storage_us;
  return ToByteBuffer(wire::FrameReadResponse(response, result->chunk.size()), result->chunk);
}

void AddStorageTime(const absl::StatusOr<ChunkStore::ReadResult>& result, const Stopwatch& watch,
                    bool shared, RpcLog* log, RpcStages* stages) {
  if (result.ok()) {
    log->CountRead(result->storage_us == 0 ? ReadTier::kRam
                   : result->remote        ? ReadTier::kAzure
                                           : ReadTier::kDisk,
                   result->storage_us);
    return stages->AtStorage(result->remote, result->storage_us);
  }
  if (!absl::IsNotFound(result.status())) stages->AtStorage(shared, watch.elapsed_us());
}

void ReadStream::Await(KVService* service, grpc::ServerCompletionQueue* queue) {
  new ReadStream(service, queue);
}

ReadStream::ReadStream(KVService* service, grpc::ServerCompletionQueue* queue)
    : service_(*service), queue_(queue) {
  context_.AsyncNotifyWhenDone(done_.tag());
  service->AwaitStream(&context_, &stream_, queue, began_.tag());
}

void ReadStream::Began(bool ok) {
  if (!ok) {  // the server ends; there is no call to be done with
    delete this;
    return;
  }
  Await(&service_, queue_);
  watch_ = Stopwatch();
  deadline_ = DeadlineOf(context_.deadline());
  const CallGate::State gate = service_.gate().Enter();
  entered_ = gate == CallGate::State::kOpen;
  std::optional<Caller> caller;
  const absl::Status admitted = entered_ ? AdmitCall(service_.access(), service_.admission(),
                                                     context_, &caller, &admitted_call_)
                                         : NotLetIn(gate);
  Actions actions;
  {
    absl::MutexLock lock(&mutex_);
    record_.rpc = "StreamingRead";
    SetOrigin(context_, service_.log().spans(), &record_);
    if (caller) record_.identity = caller->name();
    if (!admitted.ok()) {
      status_ = admitted;
      no_more_requests_ = true;
    }
    actions = Next();
  }
  Perform(actions);
}

void ReadStream::Received(bool ok) {
  absl::StatusOr<LocatedRead> read = absl::CancelledError();
  if (ok) read = ParseRead(request_);
  if (read.ok()) {
    const absl::Status may = service_.admission().AdmitAgain(&admitted_call_);
    if (!may.ok()) read = may;
  }
  absl::StatusOr<std::unique_ptr<ReadGuard>> guard = nullptr;
  if (read.ok()) guard = Guard(*read);
  if (!guard.ok() && !absl::IsNotFound(guard.status())) read = guard.status();
  uint64_t sequence = 0;
  std::shared_ptr<const Origin> origin;
  Actions actions;
  {
    absl::MutexLock lock(&mutex_);
    reading_ = false;
    if (!read.ok()) {
      no_more_requests_ = true;
      if (ok) status_ = read.status();
    } else {
      sequence = first_ + slots_.size();
      origin = record_.origin;
      slots_.emplace_back();
      if (guard.ok()) slots_.back().guard = *std::move(guard);
      ++pending_;
      ++record_.blocks;
      if (record_.completion_id.empty()) record_.completion_id = read->completion_id;
    }
    actions = Next();
  }
  Perform(actions);
  if (!read.ok()) return;
  // The slot is not ready, which keeps the stream until the store has called back.
  if (!guard.ok()) return Fetched(sequence, guard.status());
  // The stream lives until this returns, however soon it is answered.
  const uint64_t number = service_.store().Read(
      read->container, read->location, deadline_,
      [this, sequence](absl::StatusOr<ChunkStore::ReadResult> result) {
        Fetched(sequence, std::move(result));
      },
      std::move(origin));
  bool abandon = false;
  {
    absl::MutexLock lock(&mutex_);
    if (sequence < first_) return;  // answered, and sent
    slots_[sequence - first_].store_read = number;
    abandon = broken_;
  }
  if (abandon) service_.store().Abandon(number);
}

void ReadStream::AbandonFetches() {
  std::vector<uint64_t> reads;
  {
    absl::MutexLock lock(&mutex_);
    if (!broken_) return;
    for (const Slot& slot : slots_) {
      if (!slot.ready && slot.store_read != 0) reads.push_back(slot.store_read);
    }
  }
  for (const uint64_t read : reads) service_.store().Abandon(read);
}

absl::StatusOr<std::unique_ptr<ReadGuard>> ReadStream::Guard(const LocatedRead& read) const {
  if (service_.access() == nullptr) return nullptr;
  KV_ASSIGN_OR_RETURN(const Caller caller, CallerOf(*service_.access(), context_));
  return GuardRead(caller, read.container, read.location);
}

void ReadStream::Fetched(uint64_t sequence, absl::StatusOr<ChunkStore::ReadResult> result) {
  Actions actions;
  {
    absl::MutexLock lock(&mutex_);
    Slot& slot = slots_[sequence - first_];
    if (slot.guard != nullptr) slot.guard->Check(&result);
    Answer& answer = slot.answer;
    AddStorageTime(result, answer.watch, service_.store().shared(), &service_.log(),
                   &answer.stages);
    record_.stages.AtStorageOf(answer.stages);
    if (record_.timed) {
      const int64_t now_us = watch_.elapsed_us();
      record_.TimeRead(answer.stages, result.ok(), now_us - answer.watch.elapsed_us(), now_us);
    }
    slot.response = AnswerRead(result, answer.watch, &record_);
    answer.bytes = static_cast<int64_t>(slot.response.Length());
    answer.ready_us = answer.watch.elapsed_us();
    slot.ready = true;
    last_bytes_ = answer.bytes;
    --pending_;
    Hold(answer.bytes);
    actions = Next();
  }
  Perform(actions);
}

void ReadStream::Sent(bool ok) {
  service_.admission().Sent(&admitted_call_);
  Actions actions;
  {
    absl::MutexLock lock(&mutex_);
    writing_ = false;
    Hold(-being_written_.bytes);
    if (ok) Watch(being_written_);
    if (!ok) broken_ = true;
    actions = Next();
  }
  Perform(actions);
}

// A stream is as long as its client likes; what may be slow is a block.
void ReadStream::Watch(const Answer& answer) {
  const int64_t total_us = answer.watch.elapsed_us();
  if (!service_.log().slow().Wants(total_us)) return;
  RpcRecord record = record_;
  record.code = "OK";
  record.blocks = 1;
  record.bytes = answer.bytes;
  record.stages = answer.stages;
  record.stages.sending_us = total_us - answer.ready_us;
  service_.log().slow().Ended(record, total_us);
}

void ReadStream::Done(bool /*ok*/) {
  Actions actions;
  {
    absl::MutexLock lock(&mutex_);
    broken_ |= context_.IsCancelled() && !finished_;
    actions = Next();
  }
  Perform(actions);
  AbandonFetches();
  End();
}

void ReadStream::Hold(int64_t bytes) {
  held_here_ += bytes;
  service_.held_answers().bytes.fetch_add(bytes, std::memory_order_relaxed);
}

// What is being fetched is taken to be as large as the last answer. A stream with nothing under way
// may always read, so that every stream moves on by itself.
bool ReadStream::MayRead() const {
  if (slots_.empty() && !writing_) return true;
  return slots_.size() < kStreamWindow &&
         held_here_ + pending_ * last_bytes_ < HeldAnswers::kMostOfAStream &&
         service_.held_answers().bytes.load(std::memory_order_relaxed) < HeldAnswers::kMostOfAll;
}

ReadStream::Actions ReadStream::Next() {
  Actions actions;
  if (finished_) return actions;
  while (broken_ && !slots_.empty() && slots_.front().ready) {
    Hold(-slots_.front().answer.bytes);
    slots_.pop_front();
    ++first_;
  }
  if (!broken_ && !writing_ && !slots_.empty() && slots_.front().ready) {
    response_ = std::move(slots_.front().response);
    being_written_ = slots_.front().answer;
    actions.bytes = being_written_.bytes;
    slots_.pop_front();
    ++first_;
    actions.write = writing_ = true;
  }
  if (!broken_ && !reading_ && !no_more_requests_ && MayRead()) {
    actions.read = reading_ = true;
  }
  if ((no_more_requests_ || broken_) && slots_.empty() && !writing_ && !reading_) {
    actions.finish = finished_ = true;
    actions.origin = record_.origin;
    actions.status = broken_ ? absl::CancelledError("the client went away") : status_;
  }
  return actions;
}

void ReadStream::Perform(const Actions& actions) {
  if (actions.write) Write(actions.bytes);
  if (actions.read) stream_.Read(&request_, received_.tag());
  if (!actions.finish) return;
  AddFailureMetadata(actions.status, actions.origin.get(), &context_);
  stream_.Finish(ToGrpc(actions.status), finished_step_.tag());
}

void ReadStream::Write(int64_t bytes) {
  if (bytes <= Admission::kSmall) return stream_.Write(response_, sent_.tag());
  Admission& admission = service_.admission();
  // Every stream may hold one, as MayRead has it: it is never refused.
  (void)admission.HoldAnswer(&admitted_call_, bytes, /*must=*/true,
                             [this] { context_.TryCancel(); });
  admission.AwaitSend(&admitted_call_, [this, bytes] {
    RunInTurn(admitted_call_.party(), bytes, [this] { stream_.Write(response_, sent_.tag()); });
  });
}

void ReadStream::Finished(bool ok) {
  {
    absl::MutexLock lock(&mutex_);
    broken_ |= !ok;
    record_.code = broken_ ? "CANCELLED" : CodeName(status_.code());
    record_.total_us = watch_.elapsed_us();
    service_.log().Write(record_);
    if (!broken_) LogFailure(record_, status_);
    if (record_.timed) service_.log().spans()->Export(record_, record_.total_us);
  }
  End();
}

void ReadStream::End() {
  if (--ends_due_ > 0) return;
  admitted_call_.Reset();
  if (entered_) service_.gate().Leave();
  delete this;
}

}  // namespace kvstore
