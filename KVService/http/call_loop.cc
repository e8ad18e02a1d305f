#include "KVService/http/call_loop.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <utility>

#include "KVCommon/status_macros.h"
#include "KVService/http/exchange_log.h"
#include "KVService/http/request_check.h"
#include "KVService/http/url_parts.h"
#include "absl/time/clock.h"

namespace kvstore::http {

namespace {

thread_local const CallLoop* current_loop = nullptr;

// REQUIRES: not infinite.
std::chrono::steady_clock::duration Ticks(absl::Duration duration) {
  return std::chrono::duration_cast<std::chrono::steady_clock::duration>(
      absl::ToChronoNanoseconds(duration));
}

}  // namespace

CallLoop::~CallLoop() { KV_CHECK(!thread_.joinable()); }

void CallLoop::StartThread() {
  thread_ = std::thread([this] {
    current_loop = this;
    Run();
  });
}

bool CallLoop::OnLoopThread() const { return current_loop == this; }

// ---- on any thread

void CallLoop::Send(uint64_t id, HttpRequest request, HttpClient::Done done) {
  absl::Status refused = CheckRequest(request);
  if (options_.pending->fetch_add(1) >= options_.client->max_pending) {
    refused = absl::ResourceExhaustedError(
        fmt::format("{} {}: {} HTTP requests are pending", HttpMethodName(request.method),
                    WithoutQuery(request.url), options_.client->max_pending));
  } else if (refused.ok()) {
    std::unique_ptr<Call> call = MakeCall();
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
      Wake();
      return;
    }
    done = std::move(call->done);
    refused = absl::CancelledError("the HTTP client was shut down");
  }
  options_.pending->fetch_sub(1);
  std::move(done)(std::move(refused));
}

void CallLoop::Cancel(uint64_t id) {
  absl::MutexLock lock(&mutex_);
  if (stopped_) return;
  inbox_.cancels.push_back(id);
  Wake();
}

void CallLoop::RunAfter(uint64_t id, absl::Duration delay,
                        absl::AnyInvocable<void(absl::Status) &&> done) {
  absl::Status refused;
  if (options_.timers->fetch_add(1) >= options_.client->max_pending) {
    refused = absl::ResourceExhaustedError("too many timers of the HTTP client are pending");
  } else {
    absl::MutexLock lock(&mutex_);
    if (!stopped_) {
      inbox_.timers.emplace_back(TimerKey{Clock::now() + Ticks(delay), id}, Timer{std::move(done)});
      Wake();
      return;
    }
    refused = absl::CancelledError("the HTTP client was shut down");
  }
  options_.timers->fetch_sub(1);
  std::move(done)(std::move(refused));
}

void CallLoop::AddTo(HttpClientStats* stats) const {
  const size_t active = active_.load(std::memory_order_relaxed);
  stats->running += active;
  stats->waiting += load() - std::min(load(), active);  // not read in one instant
}

void CallLoop::Stop() {
  absl::MutexLock lock(&mutex_);
  if (stopped_) return;
  stopped_ = true;
  // Never after: the loop frees what it would wake.
  Wake();
}

void CallLoop::Join() {
  if (thread_.joinable()) thread_.join();
}

// ---- on the loop's

bool CallLoop::HasWorkOrStopped() const { return stopped_ || !inbox_.empty(); }

bool CallLoop::TakeInbox() {
  Inbox inbox;
  bool stopped;
  {
    absl::MutexLock lock(&mutex_);
    std::swap(inbox, inbox_);
    stopped = stopped_;
  }
  for (auto& [key, timer] : inbox.timers) timers_.emplace(key, std::move(timer));
  for (auto& call : inbox.calls) Admit(std::move(call));
  for (const uint64_t id : inbox.cancels) End(id, absl::CancelledError("the HTTP call"));
  return !stopped;
}

CallLoop::Clock::time_point CallLoop::NextDue() const {
  constexpr std::chrono::seconds kLongest{10};
  const Clock::time_point latest = Clock::now() + kLongest;
  return timers_.empty() ? latest : std::min(latest, timers_.begin()->first.first);
}

void CallLoop::RunDueTimers() {
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
                              call.started ? "" : ", all connections were busy")));
    }
  }
}

void CallLoop::EndTimer(Timer timer, absl::Status status) {
  options_.timers->fetch_sub(1);
  std::move(timer.done)(std::move(status));
}

CallLoop::Call* CallLoop::Find(uint64_t id) const {
  const auto it = calls_.find(id);
  return it == calls_.end() ? nullptr : it->second.get();
}

void CallLoop::Admit(std::unique_ptr<Call> call) {
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

void CallLoop::StartNext(const std::string& name) {
  const auto it = endpoints_.find(name);
  if (it == endpoints_.end()) return;
  Endpoint& endpoint = it->second;
  if (endpoint.active < options_.max_connections && !endpoint.waiting.empty()) {
    Call* const call = calls_.at(endpoint.waiting.front()).get();
    endpoint.waiting.pop_front();
    ++endpoint.active;
    call->started = true;
    active_.fetch_add(1, std::memory_order_relaxed);
    if (absl::Status status = Begin(call); !status.ok()) End(call->id, std::move(status));
  } else if (endpoint.active == 0 && endpoint.waiting.empty()) {
    endpoints_.erase(it);
  }
}

void CallLoop::End(uint64_t id, absl::StatusOr<HttpResponse> result) {
  const auto it = calls_.find(id);
  if (it == calls_.end()) return;
  const std::unique_ptr<Call> call = std::move(it->second);
  calls_.erase(it);
  timers_.erase(TimerKey{call->deadline, id});
  Endpoint& endpoint = endpoints_.at(call->endpoint);
  if (call->started) {
    Release(call.get());
    active_.fetch_sub(1, std::memory_order_relaxed);
    --endpoint.active;
  } else {
    endpoint.waiting.erase(std::find(endpoint.waiting.begin(), endpoint.waiting.end(), id));
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

void CallLoop::EndAll() {
  // Whatever waits is not to start in another's place.
  std::vector<uint64_t> ids;
  for (const auto& [name, endpoint] : endpoints_) {
    ids.insert(ids.end(), endpoint.waiting.begin(), endpoint.waiting.end());
  }
  for (const auto& [id, call] : calls_) {
    if (call->started) ids.push_back(id);
  }
  for (const uint64_t id : ids) End(id, absl::CancelledError("the HTTP client was shut down"));
  while (!timers_.empty()) {
    Timer timer = std::move(timers_.begin()->second);
    timers_.erase(timers_.begin());
    EndTimer(std::move(timer), absl::CancelledError("the HTTP client was shut down"));
  }
}

}  // namespace kvstore::http
