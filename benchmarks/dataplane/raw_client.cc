// The bare gRPC server, through two connections with a completion queue and a thread each: the
// fastest that gRPC is known to be on this hardware, with one copy into the caller's memory.
#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/generic_stub.h>

#include <array>
#include <thread>
#include <utility>

#include "KVCommon/wire.h"
#include "benchmarks/dataplane/contender.h"
#include "benchmarks/dataplane/memory.h"
#include "benchmarks/dataplane/prompt.h"
#include "benchmarks/dataplane/raw_channel.h"
#include "benchmarks/dataplane/raw_slots.h"

namespace kvstore::bench {
namespace {

constexpr int kConnections = 2;

// A Lookup's bytes, both ways, without their meaning.
std::pair<std::string, size_t> LookupBytes(const Options& options) {
  wire::LookupRequest request;
  request.resource_name = "bench";
  request.container_name = "kv";
  request.partition_key = PartitionOf(options.bytes);
  request.tokens = PackedTokens(PromptTokens(options.blocks, 0));
  wire::LookupResponse response;
  response.success = true;
  response.cached_blocks = static_cast<int32_t>(options.blocks);
  response.last_hash = ~uint64_t{0};
  response.metrics = {100, 100, 100};
  response.locations.assign(options.blocks, {~uint64_t{0}, std::string(kLocationBytes, 'x')});
  return {wire::Encode(request), wire::Encode(response).size()};
}

class Raw : public Contender {
 public:
  explicit Raw(const Options& options) : options_(options) {
    for (int i = 0; i < kConnections; ++i) {
      connections_[i].stub = std::make_unique<grpc::GenericStub>(TunedChannel(options.target, i));
    }
  }

  absl::Status Run(Meter& meter) override {
    const auto [lookup, lookup_answer] = LookupBytes(options_);
    RawWork work{.options = options_, .meter = meter};
    work.lookup = lookup;
    work.answer_bytes = options_.op == Op::kLookup  ? lookup_answer
                        : options_.op == Op::kWrite ? sizeof(BenchRequest)
                                                    : options_.bytes;
    const size_t per_slot = options_.op == Op::kStream ? options_.blocks : 1;
    Memory memory(static_cast<size_t>(options_.in_flight) * per_slot,
                  std::max(options_.bytes, work.answer_bytes));
    std::vector<std::unique_ptr<RawSlot>> slots;
    for (int i = 0; i < options_.in_flight; ++i) {
      RawConnection& connection = connections_[i % kConnections];
      std::vector<std::span<std::byte>> mine;
      for (size_t k = 0; k < per_slot; ++k) mine.push_back(memory.slot(i * per_slot + k));
      slots.push_back(options_.op == Op::kStream
                          ? MakeStreamSlot(work, connection, std::move(mine))
                          : MakeUnarySlot(work, connection, std::move(mine)));
    }
    std::vector<std::thread> threads;
    for (RawConnection& connection : connections_) {
      threads.emplace_back([&connection] { Serve(connection); });
    }
    for (std::thread& thread : threads) thread.join();
    return absl::OkStatus();
  }

 private:
  static void Serve(RawConnection& connection) {
    for (RawSlot* slot : connection.slots) slot->Next();
    void* tag = nullptr;
    bool ok = false;
    while (connection.running > 0 && connection.queue.Next(&tag, &ok)) {
      static_cast<RawEvent*>(tag)->Happened(ok);
    }
    connection.queue.Shutdown();
    while (connection.queue.Next(&tag, &ok)) {
    }
  }

  const Options options_;
  std::array<RawConnection, kConnections> connections_;
};

}  // namespace

MadeContender MakeRaw(const Options& options) { return std::make_unique<Raw>(options); }

}  // namespace kvstore::bench
