#include "KVService/rpc/unary_call.h"

#include "KVService/rpc/call_origin.h"
#include "KVService/rpc/kv_service.h"

namespace kvstore {

void UnaryCall::Await(const Method* method, KVService* service,
                      grpc::ServerCompletionQueue* queue) {
  new UnaryCall(method, service, queue);
}

UnaryCall::UnaryCall(const Method* method, KVService* service, grpc::ServerCompletionQueue* queue)
    : method_(method), service_(service), queue_(queue) {
  record.rpc = method->name;
  context_.AsyncNotifyWhenDone(over_.tag());
  service->AwaitCall(*method, &context_, &request_, &stream_, queue, tag());
}

void UnaryCall::Happened(bool ok) {
  if (state_ == kAwaited && ok) return Came();
  if (state_ == kReceiving) return Received(ok);
  if (state_ == kAwaited) {  // the server ends; there is no call to be over
    delete this;
    return;
  }
  if (state_ == kRunning) {
    const int64_t total_us = watch_.elapsed_us();
    record.stages.sending_us = total_us - answered_us_;
    record.Time("sending", answered_us_, total_us);
    service_->log().Ended(record, total_us);
    service_->gate().Leave();
  }
  End();
}

void UnaryCall::IsOver(bool /*ok*/) {
  if (store_read != 0 && context_.IsCancelled()) service_->store().Abandon(store_read);
  End();
}

void UnaryCall::End() {
  if (--ends_due_ == 0) delete this;
}

void UnaryCall::Came() {
  Await(method_, service_, queue_);
  watch_ = Stopwatch();
  SetOrigin(context_, service_->log().spans(), &record);
  if (const CallGate::State gate = service_->gate().Enter(); gate != CallGate::State::kOpen) {
    state_ = kRefused;
    return Finish(NotLetIn(gate));
  }
  state_ = kRunning;
  // Before a byte of the request is looked at. A Finish may come from another thread at once, and
  // yet not end the call before this returns: events of a queue happen one after the other.
  const absl::Status admitted =
      AdmitCall(service_->access(), service_->admission(), context_, &caller_, &admitted_);
  if (caller_) record.identity = caller_->name();
  if (!admitted.ok()) return Finish(admitted);
  if (!method_->uploads) return Handle();
  state_ = kReceiving;
  const absl::Status waits = service_->admission().AwaitUpload(
      &admitted_, [this] { context_.TryCancel(); },
      [this] {
        record.stages.admission_us = watch_.elapsed_us();
        record.Time("admission", 0, record.stages.admission_us);
        stream_.Read(&request_, tag());
      });
  if (waits.ok()) return;
  state_ = kRunning;
  Finish(waits);
}

void UnaryCall::Received(bool ok) {
  state_ = kRunning;
  service_->admission().Received(&admitted_, static_cast<int64_t>(request_.Length()));
  if (!ok) return Finish(absl::CancelledError("no request came"));
  const int64_t received_us = watch_.elapsed_us();
  record.stages.receiving_us = received_us - record.stages.admission_us;
  record.Time("receiving", record.stages.admission_us, received_us);
  RunInTurn(admitted_.party(), static_cast<int64_t>(request_.Length()), [this, received_us] {
    const int64_t now_us = watch_.elapsed_us();
    record.stages.admission_us += now_us - received_us;
    record.Time("admission", received_us, now_us);
    Handle();
  });
}

void UnaryCall::Handle() { (service_->*method_->handle)(this); }

void UnaryCall::ReleaseRequest() {
  request_.Clear();
  service_->admission().LetGoOfUpload(&admitted_);
}

void UnaryCall::Finish(const absl::Status& status) {
  answered_us_ = watch_.elapsed_us();
  const auto bytes = static_cast<int64_t>(response.Length());
  if (!status.ok() || bytes <= Admission::kSmall) return Send(status);
  Admission& admission = service_->admission();
  const absl::Status held =
      admission.HoldAnswer(&admitted_, bytes, /*must=*/false, [this] { context_.TryCancel(); });
  if (!held.ok()) return Send(held);
  admission.AwaitSend(&admitted_, [this, bytes] {
    RunInTurn(admitted_.party(), bytes, [this] { Send(absl::OkStatus()); });
  });
}

void UnaryCall::Send(const absl::Status& status) {
  record.code = CodeName(status.code());
  record.total_us = watch_.elapsed_us();
  service_->log().Write(record);
  LogFailure(record, status);
  if (status.ok()) return stream_.Finish(response, grpc::Status::OK, tag());
  AddFailureMetadata(status, record.origin.get(), &context_);
  stream_.FinishWithError(ToGrpc(status), tag());
}

}  // namespace kvstore
