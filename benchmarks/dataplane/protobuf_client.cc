// gRPC as its tutorial has it: generated code, blocking stub, default arguments, one channel. Only
// the limit of 4 MiB a message is raised, without which larger blocks would not pass at all.
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>

#include <cstring>
#include <string>
#include <utility>

#include "KVCommon/limits.h"
#include "benchmarks/dataplane/blocking.h"
#include "benchmarks/dataplane/contender.h"
#include "benchmarks/dataplane/memory.h"
#include "benchmarks/dataplane/prompt.h"
#include "kvstore.grpc.pb.h"

namespace kvstore::bench {
namespace {

class ProtobufCall final : public Connection {
 public:
  ProtobufCall(const Options& options, std::shared_ptr<grpc::Channel> channel)
      : options_(options),
        stub_(KVStoreService::NewStub(std::move(channel))),
        memory_(1, options.bytes) {
    if (options.op == Op::kLookup) tokens_ = PromptTokens(options.blocks, 0);
  }

  bool Send(uint64_t number) override {
    number_ = number;
    return true;
  }

  std::optional<size_t> Receive() override {
    switch (options_.op) {
      case Op::kRead:
        return Read();
      case Op::kWrite:
        return Write();
      case Op::kLookup:
        return Lookup();
      case Op::kStream:
        break;
    }
    return std::nullopt;
  }

 private:
  std::optional<size_t> Read() {
    grpc::ClientContext context;
    ReadRequest request;
    request.set_resource_name("bench");
    request.set_container_name("kv");
    // As long as a real one, and the block's size within it.
    request.set_location(std::to_string(options_.bytes) + "/" + std::string(kLocationBytes, 'x'));
    ReadResponse response;
    if (!stub_->Read(&context, request, &response).ok()) return std::nullopt;
    const std::string& buffer = response.chunk().buffer();
    if (buffer.size() != options_.bytes) return std::nullopt;
    std::memcpy(memory_.slot(0).data(), buffer.data(), buffer.size());
    return buffer.size();
  }

  std::optional<size_t> Write() {
    grpc::ClientContext context;
    WriteRequest request;
    request.set_resource_name("bench");
    request.set_container_name("kv");
    PromptChunk& chunk = *request.mutable_chunk();
    chunk.set_hash(number_ + 1);
    chunk.set_partition_key("bench-written");
    chunk.set_buffer(memory_.slot(0).data(), options_.bytes);
    for (Token token : PromptTokens(1, number_)) chunk.add_tokens(token);
    WriteResponse response;
    if (!stub_->Write(&context, request, &response).ok()) return std::nullopt;
    return options_.bytes;
  }

  std::optional<size_t> Lookup() {
    grpc::ClientContext context;
    LookupRequest request;
    request.set_resource_name("bench");
    request.set_container_name("kv");
    request.set_partition_key(PartitionOf(options_.bytes));
    request.mutable_tokens()->Add(tokens_.begin(), tokens_.end());
    LookupResponse response;
    if (!stub_->Lookup(&context, request, &response).ok()) return std::nullopt;
    if (static_cast<size_t>(response.locations_size()) != options_.blocks) return std::nullopt;
    return 0;
  }

  const Options& options_;
  const std::unique_ptr<KVStoreService::Stub> stub_;
  Memory memory_;
  std::vector<Token> tokens_;
  uint64_t number_ = 0;
};

class Protobuf final : public Contender {
 public:
  explicit Protobuf(const Options& options) : options_(options) {}

  absl::Status Run(Meter& meter) override {
    if (options_.op == Op::kStream) return absl::UnimplementedError("protobuf does not stream");
    grpc::ChannelArguments arguments;
    if (options_.bytes > (size_t{3} << 20)) arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
    auto channel =
        grpc::CreateCustomChannel(options_.target, grpc::InsecureChannelCredentials(), arguments);
    return RunBlocking(meter, options_.in_flight, options_.in_flight,
                       [&](int) { return std::make_unique<ProtobufCall>(options_, channel); });
  }

 private:
  const Options options_;
};

}  // namespace

MadeContender MakeProtobuf(const Options& options) { return std::make_unique<Protobuf>(options); }

}  // namespace kvstore::bench
