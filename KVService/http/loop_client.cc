#include "KVService/http/loop_client.h"

#include <algorithm>
#include <utility>

#include "KVCommon/status_macros.h"

namespace kvstore::http {

namespace {

// What one thread carries well: 16 blocks at a time from a storage 10 ms away are 2 GB/s.
constexpr size_t kCallsBeforeNextThread = 16;

}  // namespace

LoopClient::LoopClient(HttpClientOptions options) : options_(std::move(options)) {
  KV_CHECK(options_.threads > 0 && options_.max_connections > 0 && options_.max_pending > 0);
}

LoopClient::~LoopClient() = default;

void LoopClient::MakeLoops(
    absl::FunctionRef<std::unique_ptr<CallLoop>(const CallLoop::Options&)> make) {
  // Each thread keeps connections of its own, so there must be one for each.
  const size_t threads = std::min(options_.threads, options_.max_connections);
  for (size_t i = 0; i < threads; ++i) {
    const size_t extra = i < options_.max_connections % threads ? 1 : 0;
    CallLoop::Options loop;
    loop.client = &options_;
    loop.pending = &pending_;
    loop.timers = &timers_;
    loop.max_connections = options_.max_connections / threads + extra;
    loops_.push_back(make(loop));
  }
}

HttpClient::CallId LoopClient::Send(HttpRequest request, Done done) {
  // The id says which loop has it.
  const size_t loop = PickLoop();
  const CallId call = next_.fetch_add(1, std::memory_order_relaxed) * loops_.size() + loop;
  const std::shared_ptr<Cancellation> cancellation = request.cancellation;
  loops_[loop]->Send(call, std::move(request), std::move(done));
  if (cancellation != nullptr) cancellation->OnCancel([this, call] { Cancel(call); });
  return call;
}

// The first that has room, else the one with the fewest.
size_t LoopClient::PickLoop() const {
  const size_t room = std::min(kCallsBeforeNextThread, options_.max_connections / loops_.size());
  size_t best = 0;
  size_t least = loops_[0]->load();
  for (size_t i = 1; i < loops_.size() && least >= room; ++i) {
    if (const size_t load = loops_[i]->load(); load < least) {
      best = i;
      least = load;
    }
  }
  return best;
}

void LoopClient::Cancel(CallId call) { loops_[call % loops_.size()]->Cancel(call); }

void LoopClient::RunAfter(absl::Duration delay, absl::AnyInvocable<void(absl::Status) &&> done) {
  const CallId id = next_.fetch_add(1, std::memory_order_relaxed);
  loops_[0]->RunAfter(id * loops_.size(), delay, std::move(done));
}

void LoopClient::Shutdown() {
  // To wait for the callback that we are in would take for ever.
  KV_CHECK(!LoopClient::OnClientThread());
  absl::MutexLock lock(&shutdown_mutex_);
  for (const auto& loop : loops_) loop->Stop();
  for (const auto& loop : loops_) loop->Join();
}

HttpClientStats LoopClient::stats() const {
  HttpClientStats all;
  for (const auto& loop : loops_) loop->AddTo(&all);
  return all;
}

bool LoopClient::OnClientThread() const {
  return std::any_of(loops_.begin(), loops_.end(),
                     [](const auto& loop) { return loop->OnLoopThread(); });
}

}  // namespace kvstore::http
