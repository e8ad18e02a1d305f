#include "KVService/http/winhttp_client.h"

#include <algorithm>
#include <utility>

#include "KVCommon/status_macros.h"
#include "KVService/http/winhttp_loop.h"

namespace kvstore {

WinHttpClient::WinHttpClient(HttpClientOptions options) : options_(std::move(options)) {
  KV_CHECK(options_.threads > 0 && options_.max_connections > 0 && options_.max_pending > 0);
  KV_CHECK(options_.ca_file.empty());
  // Each thread keeps connections of its own, so there must be one for each.
  const size_t threads = std::min(options_.threads, options_.max_connections);
  for (size_t i = 0; i < threads; ++i) {
    const size_t extra = i < options_.max_connections % threads ? 1 : 0;
    http::WinHttpLoop::Options loop;
    loop.client = &options_;
    loop.pending = &pending_;
    loop.timers = &timers_;
    loop.max_connections = options_.max_connections / threads + extra;
    loops_.push_back(std::make_unique<http::WinHttpLoop>(loop));
  }
}

WinHttpClient::~WinHttpClient() { WinHttpClient::Shutdown(); }

HttpClient::CallId WinHttpClient::Send(HttpRequest request, Done done) {
  // The id says which loop has it: the one with the fewest.
  const auto least =
      std::min_element(loops_.begin(), loops_.end(),
                       [](const auto& a, const auto& b) { return a->load() < b->load(); });
  const size_t loop = static_cast<size_t>(least - loops_.begin());
  const CallId call = next_.fetch_add(1, std::memory_order_relaxed) * loops_.size() + loop;
  const std::shared_ptr<Cancellation> cancellation = request.cancellation;
  loops_[loop]->Send(call, std::move(request), std::move(done));
  if (cancellation != nullptr) cancellation->OnCancel([this, call] { Cancel(call); });
  return call;
}

void WinHttpClient::Cancel(CallId call) { loops_[call % loops_.size()]->Cancel(call); }

void WinHttpClient::RunAfter(absl::Duration delay, absl::AnyInvocable<void(absl::Status) &&> done) {
  const CallId id = next_.fetch_add(1, std::memory_order_relaxed);
  loops_[0]->RunAfter(id * loops_.size(), delay, std::move(done));
}

void WinHttpClient::Shutdown() {
  // To wait for the callback that we are in would take for ever.
  KV_CHECK(!WinHttpClient::OnClientThread());
  absl::MutexLock lock(&shutdown_mutex_);
  for (const auto& loop : loops_) loop->Stop();
  for (const auto& loop : loops_) loop->Join();
}

bool WinHttpClient::OnClientThread() const {
  return std::any_of(loops_.begin(), loops_.end(),
                     [](const auto& loop) { return loop->OnLoopThread(); });
}

}  // namespace kvstore
