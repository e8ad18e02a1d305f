// Calls a server as fast as it answers, without retries and with no regard for anybody: what the
// server's limits are tried with (limits_test.py, fairness.py).
//
//   load_client --server 127.0.0.1:50051 --method write --connections 200 --bytes 100000000
//
// Prints a line of JSON at the end: calls by gRPC code, refusals with a hint, and percentiles of
// the calls that went well. Writes share one buffer, so that the client needs no memory for them.
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "KVCommon/limits.h"
#include "KVCommon/wire.h"

namespace {

using Clock = std::chrono::steady_clock;
using namespace kvstore;  // NOLINT: a program

constexpr char kResource[] = "acct", kContainer[] = "box";

struct Options {
  std::string server;
  std::string method = "read";
  int connections = 1;
  int in_flight = 1;  // a connection
  size_t bytes = 1'258'291;
  int blocks = 16;  // that reads take turns at; written first
  double seconds = 5;
  double deadline_s = 30;
  double rate = 0;  // calls a second in all; 0: as fast as they are answered
  bool patient = false;
  std::string partition = "p";
  std::string token;
};

// Deterministic, and another for each number.
std::vector<Token> TokensOf(uint64_t number) {
  std::vector<Token> tokens(kBlockTokens);
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<Token>((number << 16) + i);
  return tokens;
}

class Load {
 public:
  explicit Load(const Options& options)
      : options_(options), buffer_(options.bytes, 'x'), end_(Clock::now()) {
    grpc::ChannelArguments args;
    args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // a connection each
    args.SetMaxReceiveMessageSize(-1);
    args.SetMaxSendMessageSize(-1);
    args.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kStreamWindowBytes);
    for (int i = 0; i < options.connections; ++i) {
      stubs_.push_back(std::make_unique<grpc::GenericStub>(
          grpc::CreateCustomChannel(options.server, grpc::InsecureChannelCredentials(), args)));
    }
  }

  // Stores what will be read, and keeps the locations. False where that fails.
  bool Prepare() {
    for (int i = 0; i < options_.blocks; ++i) {
      grpc::ByteBuffer answer;
      if (!CallNow("Write", WriteOf(static_cast<uint64_t>(i)), &answer)) return false;
      const std::vector<Token> tokens = TokensOf(static_cast<uint64_t>(i));
      wire::LookupRequest lookup;
      lookup.resource_name = kResource;
      lookup.container_name = kContainer;
      lookup.partition_key = options_.partition;
      lookup.tokens = PackedTokens(tokens);
      lookup.precomputed_hashes = {static_cast<uint64_t>(i) + 1};
      if (!CallNow("Lookup", BufferOf(wire::Encode(lookup)), &answer)) return false;
      std::vector<grpc::Slice> slices;
      if (!answer.Dump(&slices).ok()) return false;
      std::vector<ByteView> pieces;
      for (const grpc::Slice& slice : slices) {
        pieces.emplace_back(reinterpret_cast<const std::byte*>(slice.begin()), slice.size());
      }
      const auto found = wire::ParseLookupResponse(pieces);
      if (!found.ok() || found->locations.empty()) return false;
      locations_.push_back(found->locations[0].location);
    }
    return true;
  }

  void Run() {
    std::puts("running");
    std::fflush(stdout);
    begin_ = Clock::now();
    end_ = begin_ + std::chrono::duration_cast<Clock::duration>(
                        std::chrono::duration<double>(options_.seconds));
    for (int i = 0; i < options_.in_flight; ++i) {
      for (auto& stub : stubs_) Start(stub.get());
    }
    void* tag = nullptr;
    bool ok = false;
    while (open_ > 0 && queue_.Next(&tag, &ok))
      Ended(std::unique_ptr<Call>(static_cast<Call*>(tag)));
  }

  nlohmann::json Report() {
    std::sort(micros_.begin(), micros_.end());
    const auto at = [&](double share) {
      return micros_.empty()
                 ? -1
                 : micros_[static_cast<size_t>(share * static_cast<double>(micros_.size() - 1))];
    };
    nlohmann::json codes = nlohmann::json::object();
    for (const auto& [code, count] : codes_) codes[std::to_string(code)] = count;
    return {{"codes", codes},     {"hints", hints_}, {"p50_us", at(0.5)},
            {"p99_us", at(0.99)}, {"max_us", at(1)}, {"errors", errors_}};
  }

 private:
  struct Call {
    grpc::GenericStub* stub = nullptr;
    grpc::ClientContext context;
    std::unique_ptr<grpc::GenericClientAsyncResponseReader> reader;
    grpc::ByteBuffer response;
    grpc::Status status;
    Clock::time_point start;
  };

  static grpc::ByteBuffer BufferOf(const std::string& message) {
    const grpc::Slice slice(message);
    return {&slice, 1};
  }

  grpc::ByteBuffer WriteOf(uint64_t number) {
    wire::Chunk chunk;
    chunk.hash = number + 1;
    chunk.partition_key = options_.partition;
    chunk.tokens = TokensOf(number);
    const wire::Frame frame = wire::FrameWriteRequest(kResource, kContainer, chunk, buffer_.size());
    const grpc::Slice slices[] = {
        grpc::Slice(frame.head),
        grpc::Slice(buffer_.data(), buffer_.size(), grpc::Slice::STATIC_SLICE),
        grpc::Slice(frame.tail)};
    return {slices, 3};
  }

  void Prepare(grpc::ClientContext* context) {
    context->set_deadline(
        std::chrono::system_clock::now() +
        std::chrono::milliseconds(static_cast<int64_t>(options_.deadline_s * 1e3)));
    context->set_wait_for_ready(true);
    if (!options_.token.empty()) {
      context->AddMetadata("authorization", "Bearer " + options_.token);
    }
  }

  bool CallNow(const std::string& method, const grpc::ByteBuffer& request,
               grpc::ByteBuffer* answer) {
    grpc::CompletionQueue queue;
    grpc::ClientContext context;
    Prepare(&context);
    auto reader =
        stubs_[0]->PrepareUnaryCall(&context, "/kvstore.KVStoreService/" + method, request, &queue);
    reader->StartCall();
    grpc::Status status;
    reader->Finish(answer, &status, nullptr);
    void* tag;
    bool ok;
    queue.Next(&tag, &ok);
    if (!status.ok())
      std::fprintf(stderr, "%s: %s\n", method.c_str(), status.error_message().c_str());
    return status.ok();
  }

  void Start(grpc::GenericStub* stub) {
    ++open_;
    auto call = std::make_unique<Call>();
    call->stub = stub;
    Prepare(&call->context);
    const uint64_t number = next_++;
    if (options_.rate > 0) {
      std::this_thread::sleep_until(
          begin_ + std::chrono::duration_cast<Clock::duration>(
                       std::chrono::duration<double>(static_cast<double>(number) / options_.rate)));
    }
    const bool write = options_.method == "write";
    wire::ReadRequest read{kResource, kContainer, "", ""};
    if (!write) read.location = locations_[number % locations_.size()];
    call->start = Clock::now();
    call->reader = stub->PrepareUnaryCall(
        &call->context, write ? "/kvstore.KVStoreService/Write" : "/kvstore.KVStoreService/Read",
        write ? WriteOf(1'000'000 + number) : BufferOf(wire::Encode(read)), &queue_);
    call->reader->StartCall();
    Call* const at = call.release();
    at->reader->Finish(&at->response, &at->status, at);
  }

  void Ended(std::unique_ptr<Call> call) {
    --open_;
    const auto now = Clock::now();
    ++codes_[call->status.error_code()];
    if (call->status.ok()) {
      micros_.push_back(
          std::chrono::duration_cast<std::chrono::microseconds>(now - call->start).count());
    } else if (errors_.size() < 5) {
      errors_.push_back(call->status.error_message());
    }
    const auto& trailing = call->context.GetServerTrailingMetadata();
    const auto hint = trailing.find("grpc-retry-pushback-ms");
    if (hint != trailing.end()) {
      ++hints_;
      if (options_.patient) {
        std::this_thread::sleep_for(std::chrono::milliseconds(
            std::stoi(std::string(hint->second.begin(), hint->second.end()))));
      }
    }
    grpc::GenericStub* const stub = call->stub;
    call.reset();
    if (now < end_) Start(stub);
  }

  const Options options_;
  const std::string buffer_;
  std::vector<std::unique_ptr<grpc::GenericStub>> stubs_;
  grpc::CompletionQueue queue_;
  std::vector<std::string> locations_;
  Clock::time_point begin_, end_;
  uint64_t next_ = 0;
  int open_ = 0;
  std::map<int, int64_t> codes_;
  int64_t hints_ = 0;
  std::vector<int64_t> micros_;
  std::vector<std::string> errors_;
};

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app{"Calls a server as fast as it answers"};
  app.add_option("--server", options.server)->required();
  app.add_option("--method", options.method)->check(CLI::IsMember({"read", "write"}));
  app.add_option("--connections", options.connections);
  app.add_option("--in-flight", options.in_flight, "calls of each connection");
  app.add_option("--bytes", options.bytes, "of a block's buffer");
  app.add_option("--blocks", options.blocks, "that reads take turns at");
  app.add_option("--seconds", options.seconds);
  app.add_option("--deadline", options.deadline_s, "of a call, in seconds");
  app.add_option("--rate", options.rate, "calls a second in all; 0: as fast as answered");
  app.add_flag("--patient", options.patient, "waits as a refusal's hint says");
  app.add_option("--partition", options.partition);
  app.add_option("--token", options.token);
  CLI11_PARSE(app, argc, argv);
  Load load(options);
  if (options.method == "read" && !load.Prepare()) return 1;
  load.Run();
  std::puts(load.Report().dump().c_str());
}
