// KVStoreServer through kvstore::Client, reading into the caller's memory as an engine would.
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "KVClient/include/kvstore/client.h"
#include "absl/synchronization/blocking_counter.h"
#include "benchmarks/dataplane/contender.h"
#include "benchmarks/dataplane/memory.h"
#include "benchmarks/dataplane/prompt.h"

namespace kvstore::bench {
namespace {

// A gigabyte, on a machine that is busy with other things.
constexpr std::chrono::minutes kPreparationTimeout{5};

class Ours : public Contender {
 public:
  Ours(const Options& options, std::shared_ptr<Client> client)
      : options_(options), client_(std::move(client)) {}

  absl::Status Prepare() override {
    Memory memory(1, options_.bytes);
    for (size_t prompt = 0; prompt < options_.prompts; ++prompt) {
      const std::vector<Token> tokens = PromptTokens(options_.blocks, prompt);
      const std::vector<std::span<const std::byte>> buffers(options_.blocks, memory.slot(0));
      auto written = client_->WritePrompt(PartitionOf(options_.bytes), tokens, 0, buffers,
                                          {.timeout = kPreparationTimeout});
      if (!written.ok()) return written.status();
    }
    return absl::OkStatus();
  }

  absl::Status Run(Meter& meter) override {
    tokens_ = PromptTokens(options_.blocks, 0);
    if (options_.op == Op::kRead || options_.op == Op::kStream) {
      if (absl::Status status = Locate(); !status.ok()) return status;
    }
    const size_t per_slot = options_.op == Op::kStream ? options_.blocks : 1;
    const auto slots = static_cast<size_t>(options_.in_flight);
    if (options_.op != Op::kLookup) memory_.emplace(slots * per_slot, options_.bytes);
    absl::BlockingCounter running(options_.in_flight);
    meter_ = &meter;
    running_ = &running;
    for (size_t slot = 0; slot < slots; ++slot) Next(slot);
    running.Wait();
    return absl::OkStatus();
  }

 private:
  absl::Status Locate() {
    auto found = client_->Lookup(PartitionOf(options_.bytes), tokens_);
    if (!found.ok()) return found.status();
    if (static_cast<size_t>(found->cached_blocks) != options_.blocks) {
      return absl::NotFoundError("the blocks are not there: prepare them first");
    }
    for (const ::BlockLocation& location : found->locations) {
      locations_.push_back(location.location);
    }
    return absl::OkStatus();
  }

  void Next(size_t slot) {
    const std::optional<uint64_t> number = meter_->Begin();
    if (!number.has_value()) {
      running_->DecrementCount();
      return;
    }
    switch (options_.op) {
      case Op::kRead:
        return Read(slot, *number);
      case Op::kWrite:
        return Write(slot, *number);
      case Op::kStream:
        return Stream(slot);
      case Op::kLookup:
        return Lookup(slot);
    }
  }

  void End(size_t slot, Clock::time_point began, std::optional<size_t> bytes) {
    meter_->End(began, bytes);
    Next(slot);
  }

  void Read(size_t slot, uint64_t number) {
    client_->ReadAsync(
        locations_[number % locations_.size()],
        [this, slot](size_t, size_t) { return memory_->slot(slot); }, {},
        [this, slot, began = Clock::now()](BlockAnswer answer) {
          const bool good = answer.status.ok() && answer.found && answer.bytes == options_.bytes;
          End(slot, began, good ? std::optional<size_t>(answer.bytes) : std::nullopt);
        });
  }

  void Write(size_t slot, uint64_t number) {
    // Never twice the same, since a block that is there already is not stored again.
    ::PromptChunk chunk;
    chunk.hash = salt_ + number;
    chunk.partitionKey = "bench-written";
    chunk.tokens = PromptTokens(1, chunk.hash);
    client_->WriteAsync(
        chunk, memory_->slot(slot), {}, [this, slot, began = Clock::now()](auto metrics) {
          End(slot, began, metrics.ok() ? std::optional<size_t>(options_.bytes) : std::nullopt);
        });
  }

  void Stream(size_t slot) {
    struct Tally {
      Clock::time_point began = Clock::now();
      size_t bytes = 0;
    };
    auto tally = std::make_shared<Tally>();
    const size_t base = slot * options_.blocks;
    client_->StreamingReadAsync(
        locations_, [this, base](size_t index, size_t) { return memory_->slot(base + index); }, {},
        [tally](size_t, BlockAnswer answer) { tally->bytes += answer.found ? answer.bytes : 0; },
        [this, slot, tally] {
          const bool good = tally->bytes == options_.blocks * options_.bytes;
          End(slot, tally->began, good ? std::optional<size_t>(tally->bytes) : std::nullopt);
        });
  }

  void Lookup(size_t slot) {
    client_->LookupAsync(PartitionOf(options_.bytes), tokens_, {}, {},
                         [this, slot, began = Clock::now()](auto answer) {
                           const bool good =
                               answer.ok() &&
                               static_cast<size_t>(answer->cached_blocks) == options_.blocks;
                           End(slot, began, good ? std::optional<size_t>(0) : std::nullopt);
                         });
  }

  const Options options_;
  const std::shared_ptr<Client> client_;
  const uint64_t salt_ = static_cast<uint64_t>(Clock::now().time_since_epoch().count()) << 20;
  std::vector<Token> tokens_;
  std::vector<std::string> locations_;
  std::optional<Memory> memory_;
  Meter* meter_ = nullptr;
  absl::BlockingCounter* running_ = nullptr;
};

}  // namespace

MadeContender MakeOurs(const Options& options) {
  auto client =
      Client::Create({.servers = options.target, .resource = options.storage, .container = "bench"});
  if (!client.ok()) return client.status();
  return std::make_unique<Ours>(options, *std::move(client));
}

}  // namespace kvstore::bench
