#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "KVCommon/limits.h"
#include "benchmarks/dataplane/memory.h"
#include "benchmarks/dataplane/prompt.h"
#include "benchmarks/dataplane/servers.h"
#include "kvstore.grpc.pb.h"

namespace kvstore::bench {
namespace {

constexpr uint64_t kKept = 64;  // written chunks

class PlainService final : public KVStoreService::Service {
 public:
  grpc::Status Read(grpc::ServerContext*, const ReadRequest* request,
                    ReadResponse* response) override {
    // The location says how large a block is wanted.
    const std::shared_ptr<const PromptChunk> chunk =
        Sized(std::strtoull(request->location().c_str(), nullptr, 10));
    response->set_found(true);
    response->set_success(true);
    *response->mutable_chunk() = *chunk;
    return grpc::Status::OK;
  }

  grpc::Status Write(grpc::ServerContext*, const WriteRequest* request,
                     WriteResponse* response) override {
    auto chunk = std::make_shared<PromptChunk>(request->chunk());
    response->set_success(true);
    const std::lock_guard lock(mutex_);
    written_[chunk->hash() % kKept] = std::move(chunk);
    return grpc::Status::OK;
  }

  grpc::Status Lookup(grpc::ServerContext*, const LookupRequest* request,
                      LookupResponse* response) override {
    const int blocks = request->tokens_size() / static_cast<int>(kBlockTokens);
    response->set_success(true);
    response->set_cached_blocks(blocks);
    for (int i = 0; i < blocks; ++i) {
      BlockLocation& location = *response->add_locations();
      location.set_hash(~uint64_t{0} - static_cast<uint64_t>(i));
      location.set_location(std::string(kLocationBytes, 'x'));
    }
    return grpc::Status::OK;
  }

 private:
  std::shared_ptr<const PromptChunk> Sized(size_t bytes) {
    const std::lock_guard lock(mutex_);
    std::shared_ptr<const PromptChunk>& known = read_[bytes];
    if (known == nullptr) {
      auto made = std::make_shared<PromptChunk>();
      Memory memory(1, bytes);
      made->set_hash(1);
      made->set_buffer(memory.slot(0).data(), bytes);
      for (Token token : PromptTokens(1, 0)) made->add_tokens(token);
      known = std::move(made);
    }
    return known;
  }

  std::mutex mutex_;  // guards both
  std::map<size_t, std::shared_ptr<const PromptChunk>> read_;
  std::map<uint64_t, std::shared_ptr<const PromptChunk>> written_;
};

}  // namespace

bool ServeProtobuf(int port) {
  PlainService service;
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);  // 8 MB would not pass otherwise
  builder.AddListeningPort("127.0.0.1:" + std::to_string(port), grpc::InsecureServerCredentials());
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return false;
  WaitForStop();
  server->Shutdown(std::chrono::system_clock::now());
  server->Wait();
  return true;
}

}  // namespace kvstore::bench
