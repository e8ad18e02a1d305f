#include "KVService/http/winhttp_loop.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <utility>

#include "KVCommon/status_macros.h"
#include "KVService/http/exchange_log.h"
#include "KVService/http/request_check.h"
#include "absl/time/clock.h"

namespace kvstore::http {

namespace {

// How often a request is begun where kept connections turn out dead one after the other.
constexpr int kMaxBeginnings = 5;

thread_local const WinHttpLoop* current_loop = nullptr;

// REQUIRES: not infinite.
std::chrono::steady_clock::duration Ticks(absl::Duration duration) {
  return std::chrono::duration_cast<std::chrono::steady_clock::duration>(
      absl::ToChronoNanoseconds(duration));
}

}  // namespace

WinHttpLoop::WinHttpLoop(const Options& options)
    : options_(options),
      session_(OpenWinHttpSession(options.client->proxy, options.max_connections)),
      sink_([this](WinHttpEvent event) {
        absl::MutexLock lock(&mutex_);
        inbox_.events.push_back(event);
        something_.Signal();
      }) {
  KV_CHECK(session_ != nullptr);
  thread_ = std::thread([this] { Run(); });
}

WinHttpLoop::~WinHttpLoop() { KV_CHECK(!thread_.joinable()); }

bool WinHttpLoop::OnLoopThread() const { return current_loop == this; }

void WinHttpLoop::Send(uint64_t id, HttpRequest request, HttpClient::Done done) {
  absl::Status refused = CheckRequest(request);
  if (options_.pending->fetch_add(1) >= options_.client->max_pending) {
    refused = absl::ResourceExhaustedError(
        fmt::format("{} {}: {} HTTP requests are pending", HttpMethodName(request.method),
                    WithoutQuery(request.url), options_.client->max_pending));
  } else if (refused.ok()) {
    auto call = std::make_unique<Call>();
    call->id = id;
    call->begin = Clock::now();
    call->deadline =
        call->begin + Ticks(std::clamp(request.deadline - absl::Now(), absl::ZeroDuration(),
                                       options_.client->max_request_time));
    call->endpoint = EndpointOf(request.url);
    call->request = std::make_shared<const HttpRequest>(std::move(request));
    call->done = std::move(done);
    absl::MutexLock lock(&mutex_);
    if (!stopped_) {
      load_.fetch_add(1, std::memory_order_relaxed);
      inbox_.calls.push_back(std::move(call));
      something_.Signal();
      return;
    }
    done = std::move(call->done);
    refused = absl::CancelledError("the HTTP client was shut down");
  }
  options_.pending->fetch_sub(1);
  std::move(done)(std::move(refused));
}

void WinHttpLoop::Cancel(uint64_t id) {
  absl::MutexLock lock(&mutex_);
  if (stopped_) return;
  inbox_.cancels.push_back(id);
  something_.Signal();
}

void WinHttpLoop::RunAfter(uint64_t id, absl::Duration delay,
                           absl::AnyInvocable<void(absl::Status) &&> done) {
  absl::Status refused;
  if (options_.timers->fetch_add(1) >= options_.client->max_pending) {
    refused = absl::ResourceExhaustedError("too many timers of the HTTP client are pending");
  } else {
    absl::MutexLock lock(&mutex_);
    if (!stopped_) {
      inbox_.timers.emplace_back(TimerKey{Clock::now() + Ticks(delay), id}, Timer{std::move(done)});
      something_.Signal();
      return;
    }
    refused = absl::CancelledError("the HTTP client was shut down");
  }
  options_.timers->fetch_sub(1);
  std::move(done)(std::move(refused));
}

void WinHttpLoop::Stop() {
  absl::MutexLock lock(&mutex_);
  stopped_ = true;
  something_.Signal();
}

void WinHttpLoop::Join() {
  if (thread_.joinable()) thread_.join();
}

void WinHttpLoop::Run() {
  current_loop = this;
  while (TakeInbox()) RunDueTimers();
  EndAll();
  // WinHTTP may still write into what it has, and tell.
  while (!exchanges_.empty()) TakeInbox(/*to_the_end=*/true);
  WinHttpCloseHandle(session_);
}

WinHttpLoop::Clock::time_point WinHttpLoop::NextTurn() const {
  constexpr std::chrono::seconds kLongest{10};
  const Clock::time_point latest = Clock::now() + kLongest;
  return timers_.empty() ? latest : std::min(latest, timers_.begin()->first.first);
}

// Waits for something to be in it, unless stopped. False once stopped.
bool WinHttpLoop::TakeInbox(bool to_the_end) {
  Inbox inbox;
  bool stopped;
  {
    absl::MutexLock lock(&mutex_);
    const Clock::time_point until = NextTurn();
    while (inbox_.empty() && (to_the_end || !stopped_)) {
      const absl::Duration left = absl::FromChrono(until - Clock::now());
      if (left <= absl::ZeroDuration() || something_.WaitWithTimeout(&mutex_, left)) break;
    }
    std::swap(inbox, inbox_);
    stopped = stopped_;
  }
  for (auto& [key, timer] : inbox.timers) timers_.emplace(key, std::move(timer));
  for (auto& call : inbox.calls) Admit(std::move(call));
  for (const uint64_t id : inbox.cancels) End(id, absl::CancelledError("the HTTP call"));
  for (const WinHttpEvent& event : inbox.events) OnEvent(event);
  return !stopped;
}

void WinHttpLoop::RunDueTimers() {
  const Clock::time_point now = Clock::now();
  while (!timers_.empty() && timers_.begin()->first.first <= now) {
    const uint64_t id = timers_.begin()->first.second;
    Timer timer = std::move(timers_.begin()->second);
    timers_.erase(timers_.begin());
    if (timer.done) {
      EndTimer(std::move(timer), absl::OkStatus());
    } else {
      const Call& call = *calls_.at(id);
      End(id, absl::DeadlineExceededError(
                  fmt::format("{} {}: no answer within {:.1f} s{}",
                              HttpMethodName(call.request->method), WithoutQuery(call.request->url),
                              std::chrono::duration<double>(now - call.begin).count(),
                              call.exchange == nullptr ? ", all connections were busy" : "")));
    }
  }
}

void WinHttpLoop::EndTimer(Timer timer, absl::Status status) {
  options_.timers->fetch_sub(1);
  std::move(timer.done)(std::move(status));
}

void WinHttpLoop::Admit(std::unique_ptr<Call> call) {
  const uint64_t id = call->id;
  const Clock::time_point deadline = call->deadline;
  Endpoint& endpoint = endpoints_[call->endpoint];
  endpoint.waiting.push_back(id);
  const std::string name = call->endpoint;
  calls_.emplace(id, std::move(call));
  if (deadline <= Clock::now()) {
    return End(id, absl::DeadlineExceededError("the deadline passed before the HTTP request"));
  }
  timers_.emplace(TimerKey{deadline, id}, Timer());
  StartNext(name);
}

void WinHttpLoop::StartNext(const std::string& name) {
  const auto it = endpoints_.find(name);
  if (it == endpoints_.end()) return;
  Endpoint& endpoint = it->second;
  if (endpoint.active < options_.max_connections && !endpoint.waiting.empty()) {
    const uint64_t id = endpoint.waiting.front();
    endpoint.waiting.pop_front();
    Start(calls_.at(id).get());
  } else if (endpoint.active == 0 && endpoint.waiting.empty()) {
    endpoints_.erase(it);
  }
}

void WinHttpLoop::Start(Call* call) {
  ++call->begun;
  ++endpoints_.at(call->endpoint).active;
  auto exchange = std::make_unique<WinHttpExchange>(call->id, call->request, &sink_);
  WinHttpExchange* const started = exchange.get();
  call->exchange = started;
  exchanges_.emplace(started, std::move(exchange));
  const absl::Duration connect =
      std::min(options_.client->connect_timeout, call->request->connect_timeout);
  absl::Status status =
      started->Start(session_, connect, absl::FromChrono(call->deadline - Clock::now()));
  if (!status.ok()) End(call->id, std::move(status));
}

void WinHttpLoop::OnEvent(const WinHttpEvent& event) {
  WinHttpExchange* const exchange = event.exchange;
  std::optional<absl::StatusOr<HttpResponse>> end = exchange->OnEvent(event);
  if (exchange->closed()) {
    exchanges_.erase(exchange);
    return;
  }
  if (!end) return;
  Call* const call = calls_.at(exchange->call()).get();
  if (exchange->StaleConnection() && call->begun < kMaxBeginnings) {
    call->sends += exchange->sends();
    Close(call);
    return Start(call);
  }
  if (end->ok()) (*end)->sends += call->sends;
  End(call->id, *std::move(end));
}

// Its connection is free, or about to go: others need not wait for WinHTTP to be done with it,
// which keeps to the most connections by itself.
void WinHttpLoop::Close(Call* call) {
  WinHttpExchange* const exchange = std::exchange(call->exchange, nullptr);
  exchange->Close();
  if (exchange->closed()) exchanges_.erase(exchange);
  --endpoints_.at(call->endpoint).active;
}

void WinHttpLoop::End(uint64_t id, absl::StatusOr<HttpResponse> result) {
  const auto it = calls_.find(id);
  if (it == calls_.end()) return;
  const std::unique_ptr<Call> call = std::move(it->second);
  calls_.erase(it);
  timers_.erase(TimerKey{call->deadline, id});
  if (call->exchange != nullptr) {
    Close(call.get());
  } else {
    auto& waiting = endpoints_.at(call->endpoint).waiting;
    waiting.erase(std::find(waiting.begin(), waiting.end(), id));
  }
  StartNext(call->endpoint);
  if (options_.client->log) {
    options_.client->log(
        DescribeExchange(*call->request, result, absl::FromChrono(Clock::now() - call->begin)));
  }
  load_.fetch_sub(1, std::memory_order_relaxed);
  options_.pending->fetch_sub(1);
  std::move(call->done)(std::move(result));
}

void WinHttpLoop::EndAll() {
  // Whatever waits is not to start in another's place.
  std::vector<uint64_t> ids;
  for (const auto& [name, endpoint] : endpoints_) {
    ids.insert(ids.end(), endpoint.waiting.begin(), endpoint.waiting.end());
  }
  for (const auto& [id, call] : calls_) {
    if (call->exchange != nullptr) ids.push_back(id);
  }
  for (const uint64_t id : ids) End(id, absl::CancelledError("the HTTP client was shut down"));
  while (!timers_.empty()) {
    Timer timer = std::move(timers_.begin()->second);
    timers_.erase(timers_.begin());
    EndTimer(std::move(timer), absl::CancelledError("the HTTP client was shut down"));
  }
}

}  // namespace kvstore::http
