#include "KVService/rpc/health_service.h"

#include <grpcpp/alarm.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/async_stream.h>
#include <grpcpp/support/async_unary_call.h>
#include <grpcpp/support/byte_buffer.h>

#include <optional>
#include <utility>

#include "KVCommon/limits.h"
#include "KVService/rpc/byte_buffer.h"
#include "KVService/rpc/call_queues.h"
#include "KVService/rpc/requests.h"

namespace kvstore {
namespace {

enum Method : int { kCheck, kWatch };

// HealthCheckResponse { ServingStatus status = 1; }
grpc::ByteBuffer Answer(Health health) {
  return ToByteBuffer(std::string{'\x08', static_cast<char>(health)});
}

absl::StatusOr<std::string> ServiceOf(const grpc::ByteBuffer& request) {
  const ReceivedMessage message(request);
  absl::StatusOr<std::string> service = wire::ParseHealthCheckRequest(message.pieces());
  if (service.ok() && service->size() > kMaxNameBytes) {
    return absl::InvalidArgumentError("the service's name is too long");
  }
  return service;
}

}  // namespace

// Deletes itself once it is answered.
class HealthService::CheckCall final : private CallEvent {
 public:
  static void Await(HealthService* service, grpc::ServerCompletionQueue* queue) {
    new CheckCall(service, queue);
  }

 private:
  CheckCall(HealthService* service, grpc::ServerCompletionQueue* queue)
      : service_(*service), queue_(queue) {
    service->RequestAsyncUnary(kCheck, &context_, &request_, &writer_, queue, queue, tag());
  }

  void Happened(bool ok) override {
    if (!ok || answered_) {
      delete this;
      return;
    }
    answered_ = true;
    Await(&service_, queue_);
    const absl::StatusOr<std::string> name = ServiceOf(request_);
    if (!name.ok()) return writer_.FinishWithError(ToGrpc(name.status()), tag());
    const Health health = service_.source_(*name);
    if (health == Health::kNoSuchService) {
      return writer_.FinishWithError({grpc::StatusCode::NOT_FOUND, "no such service"}, tag());
    }
    writer_.Finish(Answer(health), grpc::Status::OK, tag());
  }
  void* tag() { return static_cast<CallEvent*>(this); }

  HealthService& service_;
  grpc::ServerCompletionQueue* const queue_;
  grpc::ServerContext context_;
  grpc::ByteBuffer request_;
  grpc::ServerAsyncResponseWriter<grpc::ByteBuffer> writer_{&context_};
  bool answered_ = false;
};

// Looks at the source now and then, and tells of changes, until its client has gone. All of it
// happens on the queue's thread, one event at a time. Deletes itself after the last.
class HealthService::WatchCall final : private CallEvent {
 public:
  static void Await(HealthService* service, grpc::ServerCompletionQueue* queue) {
    new WatchCall(service, queue);
  }

 private:
  // An event by itself, so that one is told from the other.
  struct Event final : CallEvent {
    Event(WatchCall* call, void (WatchCall::*happened)(bool)) : call(call), happened(happened) {}
    void Happened(bool ok) override { (call->*happened)(ok); }
    void* tag() { return static_cast<CallEvent*>(this); }
    WatchCall* const call;
    void (WatchCall::*const happened)(bool);
  };

  WatchCall(HealthService* service, grpc::ServerCompletionQueue* queue)
      : service_(*service), queue_(queue) {
    context_.AsyncNotifyWhenDone(over_.tag());
    service->RequestAsyncServerStreaming(kWatch, &context_, &request_, &writer_, queue, queue,
                                         static_cast<CallEvent*>(this));
  }
  ~WatchCall() {
    if (counted_) service_.watches_.fetch_sub(1);
  }

  void Happened(bool ok) override {  // the call has come, or the server ends
    if (!ok) {
      delete this;
      return;
    }
    Await(&service_, queue_);
    pending_ = 1;  // that it is over
    absl::StatusOr<std::string> name = ServiceOf(request_);
    if (!name.ok()) return Finish(ToGrpc(name.status()));
    counted_ = true;
    if (service_.watches_.fetch_add(1) >= kMaxWatches) {
      return Finish({grpc::StatusCode::RESOURCE_EXHAUSTED, "too many watches; Check instead"});
    }
    name_ = *std::move(name);
    Look();
  }

  void Look() {
    if (finished_) return;
    const Health health = service_.source_(name_);
    if (health != told_) {
      told_ = health;
      ++pending_;
      return writer_.Write(Answer(health), wrote_.tag());
    }
    if (service_.ending_) return Finish(ToGrpc(NotLetIn(CallGate::State::kClosed)));
    ++pending_;
    alarm_.emplace();
    alarm_->Set(queue_, std::chrono::system_clock::now() + kPollInterval, rang_.tag());
  }

  void Wrote(bool ok) {
    if (ok && !gone_) Look();
    End();
  }
  void Rang(bool /*ok*/) {
    if (!gone_) Look();
    End();
  }
  void IsOver(bool /*ok*/) {
    gone_ = true;
    if (alarm_) alarm_->Cancel();
    if (!finished_) Finish(grpc::Status::CANCELLED);
    End();
  }
  void Finished(bool /*ok*/) { End(); }

  void Finish(const grpc::Status& status) {
    finished_ = true;
    ++pending_;
    writer_.Finish(status, ended_.tag());
  }
  void End() {
    if (--pending_ == 0) delete this;
  }

  HealthService& service_;
  grpc::ServerCompletionQueue* const queue_;
  grpc::ServerContext context_;
  grpc::ByteBuffer request_;
  grpc::ServerAsyncWriter<grpc::ByteBuffer> writer_{&context_};
  Event over_{this, &WatchCall::IsOver};
  Event wrote_{this, &WatchCall::Wrote};
  Event rang_{this, &WatchCall::Rang};
  Event ended_{this, &WatchCall::Finished};
  std::optional<grpc::Alarm> alarm_;
  std::string name_;
  std::optional<Health> told_;
  int pending_ = 0;  // events that have yet to happen
  bool counted_ = false;
  bool gone_ = false;
  bool finished_ = false;
};

HealthService::HealthService(HealthSource source) : source_(std::move(source)) {
  using Type = grpc::internal::RpcMethod::RpcType;
  // As KVService's.
  AddMethod(new grpc::internal::RpcServiceMethod("/grpc.health.v1.Health/Check", Type::NORMAL_RPC,
                                                 nullptr));
  MarkMethodRaw(kCheck);
  AddMethod(new grpc::internal::RpcServiceMethod("/grpc.health.v1.Health/Watch",
                                                 Type::SERVER_STREAMING, nullptr));
  MarkMethodRaw(kWatch);
}

void HealthService::Serve(grpc::ServerCompletionQueue* queue) {
  CheckCall::Await(this, queue);
  WatchCall::Await(this, queue);
}

}  // namespace kvstore
