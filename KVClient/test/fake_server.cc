#include "KVClient/test/fake_server.h"

#include <absl/strings/escaping.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstring>
#include <map>
#include <optional>
#include <thread>
#include <utility>

#include "KVCommon/digest.h"
#include "KVCommon/limits.h"
#include "KVCommon/status_macros.h"
#include "absl/synchronization/mutex.h"
#include "kvstore.grpc.pb.h"

namespace kvstore {
namespace {

// Of one server, or of several.
struct Chunks {
  absl::Mutex mutex;
  std::map<std::string, WriteRequest> by_location ABSL_GUARDED_BY(mutex);
};

// As KVService/block/location.h has it, with the hash and without a MAC.
std::string LocationOf(const PromptChunk& chunk) {
  std::string bytes(72, '\0');
  const Digest partition = Sha256(AsBytes(chunk.partition_key()));
  std::memcpy(bytes.data(), partition.data(), 16);
  const std::vector<Token> tokens(chunk.tokens().begin(), chunk.tokens().end());
  const BlockTokens block = std::span(tokens).first<kBlockTokens>();
  const Digest digest = chunk.parent_hash() == 0 ? PrefixDigest(std::nullopt, block)
                                                 : ParentDigest(chunk.parent_hash(), block);
  const std::string& given = chunk.prefix_digest();
  std::memcpy(&bytes[16],
              given.empty() ? digest.data() : reinterpret_cast<const uint8_t*>(given.data()), 32);
  const uint64_t hash = chunk.hash();
  std::memcpy(&bytes[52], &hash, 8);
  std::string text;
  absl::WebSafeBase64Escape(bytes, &text);
  return text;
}

}  // namespace

class FakeServer::Service : public KVStoreService::Service {
 public:
  grpc::Status Lookup(grpc::ServerContext* context, const LookupRequest* request,
                      LookupResponse* response) override {
    const bool ping = request->completion_id() == "ping";
    if (grpc::Status fault = Enter(context, ping); !fault.ok()) return fault;
    if (request->tokens().empty()) {
      return {grpc::StatusCode::INVALID_ARGUMENT, "tokens are missing"};
    }
    absl::MutexLock lock(&mutex);
    if (Fill(*response)) return grpc::Status::OK;
    response->set_shared_store(shares);
    absl::MutexLock store_lock(&store->mutex);
    uint64_t parent = 0;
    for (int block = 0; (block + 1) * 128 <= request->tokens_size(); ++block) {
      const PromptChunk* found = nullptr;
      for (const auto& [location, write] : store->by_location) {
        const PromptChunk& chunk = write.chunk();
        if (chunk.partition_key() != request->partition_key() || chunk.parent_hash() != parent ||
            !std::equal(chunk.tokens().begin(), chunk.tokens().end(),
                        request->tokens().begin() + block * 128)) {
          continue;
        }
        if (block < request->precomputed_hashes_size() && request->precomputed_hashes(block) != 0 &&
            request->precomputed_hashes(block) != chunk.hash()) {
          continue;
        }
        found = &chunk;
        auto* its = response->add_locations();
        its->set_hash(chunk.hash());
        its->set_location(location);
        its->set_size(write.ByteSizeLong());
        its->set_tier(BLOCK_TIER_RAM);
        break;
      }
      if (found == nullptr) break;
      parent = found->hash();
      response->set_last_hash(parent);
      response->set_cached_blocks(block + 1);
    }
    if (claim) response->set_cached_blocks(*claim);
    return grpc::Status::OK;
  }

  grpc::Status Read(grpc::ServerContext* context, const ReadRequest* request,
                    ReadResponse* response) override {
    if (grpc::Status fault = Enter(context); !fault.ok()) return fault;
    Answer(*request, *response);
    if (context->IsCancelled()) {
      absl::MutexLock lock(&mutex);
      ++cancelled;
    }
    return grpc::Status::OK;
  }

  grpc::Status Write(grpc::ServerContext* context, const WriteRequest* request,
                     WriteResponse* response) override {
    if (grpc::Status fault = Enter(context); !fault.ok()) return fault;
    if (request->chunk().tokens_size() != 128) {
      return {grpc::StatusCode::INVALID_ARGUMENT, "tokens must be exactly 128"};
    }
    absl::MutexLock lock(&mutex);
    if (Fill(*response)) return grpc::Status::OK;
    const PromptChunk& chunk = request->chunk();
    written.push_back(chunk.hash());
    absl::MutexLock store_lock(&store->mutex);
    store->by_location.emplace(
        realistic ? LocationOf(chunk) : chunk.partition_key() + "/" + std::to_string(chunk.hash()),
        *request);
    return grpc::Status::OK;
  }

  grpc::Status StreamingRead(grpc::ServerContext* context,
                             grpc::ServerReaderWriter<ReadResponse, ReadRequest>* stream) override {
    if (grpc::Status fault = Enter(context); !fault.ok()) return fault;
    int break_after, hold;
    {
      absl::MutexLock lock(&mutex);
      ++streams;
      break_after = break_streams_after;
      hold = hold_streams_for;
      if (flood_streams) break_after = -1;
    }
    if (break_after < 0) return Flood(*stream);
    if (break_after > 0) return ServeAndBreak(*stream, break_after);
    absl::Mutex queue_mutex;
    std::vector<ReadRequest> queue;
    bool ended = false;
    std::thread reader([&] {
      ReadRequest request;
      while (stream->Read(&request)) {
        absl::MutexLock lock(&queue_mutex);
        queue.push_back(request);
      }
      absl::MutexLock lock(&queue_mutex);
      ended = true;
    });
    if (hold > 0) {
      absl::MutexLock lock(&queue_mutex);
      const auto filled = [&] { return ended || static_cast<int>(queue.size()) >= hold; };
      queue_mutex.Await(absl::Condition(&filled));
      // One more would be one too many: give it the time to come.
      const auto more = [&] { return ended || static_cast<int>(queue.size()) > hold; };
      queue_mutex.AwaitWithTimeout(absl::Condition(&more), absl::Milliseconds(50));
    }
    size_t answered = 0;
    while (true) {
      ReadRequest request;
      {
        absl::MutexLock lock(&queue_mutex);
        const auto ready = [&] { return ended || queue.size() > answered; };
        queue_mutex.Await(absl::Condition(&ready));
        if (queue.size() == answered) break;
        absl::MutexLock counters(&mutex);
        most_outstanding = std::max(most_outstanding, static_cast<int>(queue.size() - answered));
        request = queue[answered];
      }
      ReadResponse response;
      Answer(request, response);
      // Counted before the write: the client may react before Write returns.
      {
        absl::MutexLock lock(&queue_mutex);
        ++answered;
      }
      if (!stream->Write(response)) break;
    }
    reader.join();
    return grpc::Status::OK;
  }

  static grpc::Status Flood(grpc::ServerReaderWriter<ReadResponse, ReadRequest>& stream) {
    ReadResponse response;
    response.set_success(true);
    while (stream.Write(response)) continue;
    return grpc::Status::OK;
  }

  grpc::Status ServeAndBreak(grpc::ServerReaderWriter<ReadResponse, ReadRequest>& stream,
                             int answers) {
    ReadRequest request;
    while (stream.Read(&request)) {
      if (answers-- == 0) return {grpc::StatusCode::UNAVAILABLE, "broken on order"};
      ReadResponse response;
      Answer(request, response);
      stream.Write(response);
    }
    return grpc::Status::OK;
  }

  // Counts the call; a fault that was ordered for it. A ping only hangs.
  grpc::Status Enter(grpc::ServerContext* context, bool ping = false) {
    {
      absl::MutexLock lock(&mutex);
      (ping ? pings : calls) += 1;
      const auto text = [context](const char* key) {
        const auto header = context->client_metadata().find(key);
        if (header == context->client_metadata().end()) return std::string();
        return std::string(header->second.data(), header->second.size());
      };
      authorizations.insert(text("authorization"));
      if (!ping) {
        for (const char* key : {"x-request-id", "traceparent", "tracestate"})
          metadata[key].push_back(text(key));
      }
      if (failures > 0 && !ping) {
        --failures;
        return failure;
      }
    }
    while (true) {
      {
        absl::MutexLock lock(&mutex);
        if (!hang) return grpc::Status::OK;
      }
      if (context->IsCancelled()) return grpc::Status::CANCELLED;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  }

  // True where the answer is a reported error.
  template <typename Response>
  bool Fill(Response& response) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    response.set_success(error.empty());
    response.set_error(error);
    if (metrics) {
      response.mutable_server_metrics()->set_storage_latency_us(3);
      response.mutable_server_metrics()->set_total_latency_us(5);
      response.mutable_server_metrics()->set_overhead_us(2);
    }
    return !error.empty();
  }

  void Answer(const ReadRequest& request, ReadResponse& response) {
    int delay;
    {
      absl::MutexLock lock(&mutex);
      delay = delay_reads;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(delay));
    absl::MutexLock lock(&mutex);
    read.push_back(request.location());
    if (Fill(response)) return;
    absl::MutexLock store_lock(&store->mutex);
    const auto it = store->by_location.find(request.location());
    if (it == store->by_location.end()) return;
    response.set_found(true);
    *response.mutable_chunk() = it->second.chunk();
  }

  absl::Mutex mutex;
  std::shared_ptr<Chunks> store ABSL_GUARDED_BY(mutex) = std::make_shared<Chunks>();
  bool shares ABSL_GUARDED_BY(mutex) = false;
  bool realistic ABSL_GUARDED_BY(mutex) = false;
  int delay_reads ABSL_GUARDED_BY(mutex) = 0;
  std::vector<std::string> read ABSL_GUARDED_BY(mutex);
  std::vector<uint64_t> written ABSL_GUARDED_BY(mutex);
  int cancelled ABSL_GUARDED_BY(mutex) = 0;
  int failures ABSL_GUARDED_BY(mutex) = 0;
  grpc::Status failure ABSL_GUARDED_BY(mutex);
  std::string error ABSL_GUARDED_BY(mutex);
  bool hang ABSL_GUARDED_BY(mutex) = false;
  bool metrics ABSL_GUARDED_BY(mutex) = true;
  std::optional<int> claim ABSL_GUARDED_BY(mutex);
  int break_streams_after ABSL_GUARDED_BY(mutex) = 0;
  bool flood_streams ABSL_GUARDED_BY(mutex) = false;
  int hold_streams_for ABSL_GUARDED_BY(mutex) = 0;
  int calls ABSL_GUARDED_BY(mutex) = 0;
  int pings ABSL_GUARDED_BY(mutex) = 0;
  std::set<std::string> authorizations ABSL_GUARDED_BY(mutex);
  std::map<std::string, std::vector<std::string>> metadata ABSL_GUARDED_BY(mutex);
  int streams ABSL_GUARDED_BY(mutex) = 0;
  int most_outstanding ABSL_GUARDED_BY(mutex) = 0;
};

struct FakeServer::Running {
  std::unique_ptr<grpc::Server> server;
};

FakeServer::FakeServer(int port) : service_(std::make_unique<Service>()), port_(port) { Start(); }
FakeServer::~FakeServer() { Stop(); }

void FakeServer::Start() {
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:" + std::to_string(port_), grpc::InsecureServerCredentials(),
                           &port_);
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.SetMaxSendMessageSize(kMaxMessageBytes);
  builder.RegisterService(service_.get());
  running_ = std::make_unique<Running>();
  running_->server = builder.BuildAndStart();
  KV_CHECK(running_->server != nullptr);
}

void FakeServer::Stop() {
  if (running_ == nullptr) return;
  running_->server->Shutdown(std::chrono::system_clock::now());
  running_ = nullptr;
}

std::string FakeServer::address() const { return "127.0.0.1:" + std::to_string(port_); }

void FakeServer::FailNext(int calls, int status_code, const std::string& message) {
  absl::MutexLock lock(&service_->mutex);
  service_->failures = calls;
  service_->failure = grpc::Status(static_cast<grpc::StatusCode>(status_code), message);
}
void FakeServer::ReportError(const std::string& error) {
  absl::MutexLock lock(&service_->mutex);
  service_->error = error;
}
void FakeServer::Hang(bool hang) {
  absl::MutexLock lock(&service_->mutex);
  service_->hang = hang;
}
void FakeServer::BreakStreamsAfter(int answers) {
  absl::MutexLock lock(&service_->mutex);
  service_->break_streams_after = answers;
}
void FakeServer::HoldStreamsFor(int requests) {
  absl::MutexLock lock(&service_->mutex);
  service_->hold_streams_for = requests;
}
void FakeServer::FloodStreams() {
  absl::MutexLock lock(&service_->mutex);
  service_->flood_streams = true;
}
void FakeServer::GiveRealisticLocations() {
  absl::MutexLock lock(&service_->mutex);
  service_->realistic = true;
}
void FakeServer::ShareWith(FakeServer& other) {
  std::shared_ptr<Chunks> store;
  {
    absl::MutexLock lock(&other.service_->mutex);
    other.service_->shares = true;
    store = other.service_->store;
  }
  absl::MutexLock lock(&service_->mutex);
  service_->shares = true;
  service_->store = std::move(store);
}
void FakeServer::DelayReads(int milliseconds) {
  absl::MutexLock lock(&service_->mutex);
  service_->delay_reads = milliseconds;
}
void FakeServer::LeaveMetricsOut() {
  absl::MutexLock lock(&service_->mutex);
  service_->metrics = false;
}
void FakeServer::ClaimBlocks(int blocks) {
  absl::MutexLock lock(&service_->mutex);
  service_->claim = blocks;
}
int FakeServer::calls() const {
  absl::MutexLock lock(&service_->mutex);
  return service_->calls;
}
int FakeServer::pings() const {
  absl::MutexLock lock(&service_->mutex);
  return service_->pings;
}
std::vector<std::string> FakeServer::metadata(const std::string& key) const {
  absl::MutexLock lock(&service_->mutex);
  return service_->metadata[key];
}

std::set<std::string> FakeServer::authorizations() const {
  absl::MutexLock lock(&service_->mutex);
  return service_->authorizations;
}
int FakeServer::streams() const {
  absl::MutexLock lock(&service_->mutex);
  return service_->streams;
}
int FakeServer::most_outstanding() const {
  absl::MutexLock lock(&service_->mutex);
  return service_->most_outstanding;
}
std::vector<std::string> FakeServer::read() const {
  absl::MutexLock lock(&service_->mutex);
  return service_->read;
}
std::vector<uint64_t> FakeServer::written() const {
  absl::MutexLock lock(&service_->mutex);
  return service_->written;
}
int FakeServer::cancelled() const {
  absl::MutexLock lock(&service_->mutex);
  return service_->cancelled;
}
std::vector<FakeServer::Stored> FakeServer::stored() const {
  absl::MutexLock lock(&service_->mutex);
  std::vector<Stored> all;
  absl::MutexLock store_lock(&service_->store->mutex);
  for (const auto& [location, write] : service_->store->by_location) {
    const PromptChunk& chunk = write.chunk();
    all.push_back({chunk.hash(),
                   chunk.parent_hash(),
                   chunk.partition_key(),
                   chunk.buffer(),
                   chunk.prefix_digest(),
                   {chunk.tokens().begin(), chunk.tokens().end()},
                   write.resource_name(),
                   write.container_name()});
  }
  return all;
}

}  // namespace kvstore
