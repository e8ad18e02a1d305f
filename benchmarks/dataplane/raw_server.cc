#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "KVCommon/limits.h"
#include "benchmarks/dataplane/bench_request.h"
#include "benchmarks/dataplane/memory.h"
#include "benchmarks/dataplane/servers.h"
#include "kvstore.grpc.pb.h"

namespace kvstore::bench {
namespace {

using Service = KVStoreService::WithRawMethod_Read<
    KVStoreService::WithRawMethod_Write<KVStoreService::WithRawMethod_Lookup<
        KVStoreService::WithRawMethod_StreamingRead<KVStoreService::Service>>>>;
using Writer = grpc::ServerAsyncResponseWriter<grpc::ByteBuffer>;
using Queue = grpc::ServerCompletionQueue;

constexpr size_t kQueues = 2;
constexpr int kCallsAwaited = 32;  // a method and queue

class Event {
 public:
  virtual ~Event() = default;
  virtual void Happened(bool ok) = 0;
};

// Answers come from one arena, by reference; what is uploaded is dropped as it came.
class Answers {
 public:
  grpc::ByteBuffer To(const grpc::ByteBuffer& message) {
    std::vector<grpc::Slice> slices;
    BenchRequest request;
    if (!message.Dump(&slices).ok()) return {};
    auto* into = reinterpret_cast<std::byte*>(&request);
    size_t at = 0;
    for (const grpc::Slice& slice : slices) {
      const size_t size = std::min(slice.size(), sizeof request - at);
      std::memcpy(into + at, slice.begin(), size);
      at += size;
      if (at == sizeof request) break;
    }
    request.answer_bytes = std::min<uint64_t>(request.answer_bytes, kArenaBytes);
    const grpc::Slice answer(arena_.slot(0).data() + ArenaOffset(request), request.answer_bytes,
                             grpc::Slice::STATIC_SLICE);
    return grpc::ByteBuffer(&answer, 1);
  }

 private:
  Memory arena_{1, kArenaBytes};
};

// A unary call: awaited, answered, and followed by the next.
class UnaryCall final : public Event {
 public:
  using Await =
      std::function<void(grpc::ServerContext*, grpc::ByteBuffer*, Writer*, Queue*, void*)>;

  UnaryCall(const Await& await, Answers* answers, Queue* queue)
      : await_(await), answers_(answers), queue_(queue) {
    await_(&context_, &request_, &writer_, queue_, static_cast<Event*>(this));
  }

  void Happened(bool ok) override {
    if (!ok || answered_) {
      delete this;
      return;
    }
    new UnaryCall(await_, answers_, queue_);
    answered_ = true;
    grpc::ByteBuffer answer = answers_->To(request_);
    request_.Clear();
    writer_.Finish(answer, grpc::Status::OK, static_cast<Event*>(this));
  }

 private:
  const Await& await_;
  Answers* const answers_;
  Queue* const queue_;
  grpc::ServerContext context_;
  grpc::ByteBuffer request_;
  Writer writer_{&context_};
  bool answered_ = false;
};

// A stream, each request answered in its turn. All of its events come from one queue's one thread.
class StreamCall {
 public:
  StreamCall(Service* service, Answers* answers, Queue* queue)
      : service_(service), answers_(answers), queue_(queue) {
    service_->RequestStreamingRead(&context_, &stream_, queue_, queue_, &on_begin_);
  }

 private:
  struct Step final : Event {
    Step(StreamCall* call, void (StreamCall::*what)(bool)) : call(call), what(what) {}
    void Happened(bool ok) override { (call->*what)(ok); }
    StreamCall* call;
    void (StreamCall::*what)(bool);
  };

  void Began(bool ok) {
    if (!ok) {
      delete this;
      return;
    }
    new StreamCall(service_, answers_, queue_);
    stream_.Read(&request_, &on_read_);
  }

  void Received(bool ok) {
    if (!ok) {
      no_more_ = true;
    } else {
      answers_due_.push_back(answers_->To(request_));
      stream_.Read(&request_, &on_read_);
    }
    Send();
  }

  void Written(bool ok) {
    writing_ = false;
    if (!ok) answers_due_.clear();
    Send();
  }

  void Send() {
    if (writing_) return;
    if (!answers_due_.empty()) {
      writing_ = true;
      stream_.Write(answers_due_.front(), &on_write_);
      answers_due_.pop_front();
    } else if (no_more_) {
      stream_.Finish(grpc::Status::OK, &on_finish_);
    }
  }

  void Finished(bool) { delete this; }

  Service* const service_;
  Answers* const answers_;
  Queue* const queue_;
  grpc::ServerContext context_;
  grpc::ServerAsyncReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer> stream_{&context_};
  grpc::ByteBuffer request_;
  std::deque<grpc::ByteBuffer> answers_due_;
  bool writing_ = false;
  bool no_more_ = false;
  Step on_begin_{this, &StreamCall::Began};
  Step on_read_{this, &StreamCall::Received};
  Step on_write_{this, &StreamCall::Written};
  Step on_finish_{this, &StreamCall::Finished};
};

void Tune(grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.SetMaxSendMessageSize(kMaxMessageBytes);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kStreamWindowBytes);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, kMaxFrameBytes);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_WRITE_BUFFER_SIZE, kWriteBufferBytes);
}

}  // namespace

bool ServeRaw(int port) {
  Service service;
  Answers answers;
  grpc::ServerBuilder builder;
  Tune(builder);
  builder.AddListeningPort("127.0.0.1:" + std::to_string(port), grpc::InsecureServerCredentials());
  builder.RegisterService(&service);
  std::array<std::unique_ptr<Queue>, kQueues> queues;
  for (auto& queue : queues) queue = builder.AddCompletionQueue();
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return false;

  const std::array<UnaryCall::Await, 3> methods = {
      [&](auto* c, auto* r, auto* w, auto* q, void* t) { service.RequestRead(c, r, w, q, q, t); },
      [&](auto* c, auto* r, auto* w, auto* q, void* t) { service.RequestWrite(c, r, w, q, q, t); },
      [&](auto* c, auto* r, auto* w, auto* q, void* t) {
        service.RequestLookup(c, r, w, q, q, t);
      }};
  std::vector<std::thread> threads;
  for (auto& queue : queues) {
    for (int i = 0; i < kCallsAwaited; ++i) {
      for (const UnaryCall::Await& method : methods) new UnaryCall(method, &answers, queue.get());
      new StreamCall(&service, &answers, queue.get());
    }
    threads.emplace_back([&queue] {
      void* tag = nullptr;
      bool ok = false;
      while (queue->Next(&tag, &ok)) static_cast<Event*>(tag)->Happened(ok);
    });
  }
  WaitForStop();
  std::_Exit(0);  // calls that are awaited would each have to be taken back
}

}  // namespace kvstore::bench
