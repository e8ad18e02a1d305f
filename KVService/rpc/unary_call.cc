#include "KVService/rpc/unary_call.h"

#include "KVCommon/status_macros.h"
#include "KVService/rpc/kv_service.h"

namespace kvstore {

void UnaryCall::Await(const Method* method, KVService* service,
                      grpc::ServerCompletionQueue* queue) {
  new UnaryCall(method, service, queue);
}

UnaryCall::UnaryCall(const Method* method, KVService* service, grpc::ServerCompletionQueue* queue)
    : method_(method), service_(service), queue_(queue) {
  record.rpc = method->name;
  method->await(service, &context_, &request_, &writer_, queue, static_cast<CallEvent*>(this));
}

void UnaryCall::Happened(bool ok) {
  if (state_ == kAwaited && ok) {
    Await(method_, service_, queue_);
    watch_ = Stopwatch();
    if (!service_->gate().Enter()) {
      state_ = kRefused;
      return Finish(ShuttingDownError());
    }
    state_ = kRunning;
    // Before a byte of the request is looked at.
    if (const absl::Status status = Identify(); !status.ok()) return Finish(status);
    // Its Finish may come from another thread at once, and yet not end it before this returns: events
    // of a queue happen one after the other.
    return (service_->*method_->handle)(this);
  }
  if (state_ == kRunning) service_->gate().Leave();
  delete this;
}

absl::Status UnaryCall::Identify() {
  if (service_->access() == nullptr) return absl::OkStatus();
  KV_ASSIGN_OR_RETURN(Caller caller, CallerOf(*service_->access(), context_));
  record.identity = caller.name();
  caller_ = std::move(caller);
  return absl::OkStatus();
}

void UnaryCall::Finish(const absl::Status& status) {
  record.code = CodeName(status.code());
  record.total_us = watch_.elapsed_us();
  service_->log().Write(record);
  LogFailure(record, status);
  void* const tag = static_cast<CallEvent*>(this);
  if (status.ok()) {
    writer_.Finish(response, grpc::Status::OK, tag);
  } else {
    writer_.FinishWithError(ToGrpc(status), tag);
  }
}

}  // namespace kvstore
