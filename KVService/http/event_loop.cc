#include "KVService/http/event_loop.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <csignal>
#include <utility>

#include "KVCommon/status_macros.h"
#include "KVService/http/curl_share.h"
#include "KVService/http/exchange_log.h"
#include "KVService/http/request_check.h"
#include "absl/time/clock.h"

namespace kvstore::http {

namespace {

thread_local const EventLoop* current_loop = nullptr;

// REQUIRES: not infinite.
std::chrono::steady_clock::duration Ticks(absl::Duration duration) {
  return absl::ToChronoNanoseconds(duration);
}

// curl leaves SIGPIPE alone when it is told to use no signals, and a TLS connection that the peer
// closed would raise it here.
void HoldSignals() {
#ifndef _WIN32
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
#endif
}

}  // namespace

EventLoop::EventLoop(const Options& options)
    : options_(options), multi_(curl_multi_init()), routes_(options.sources) {
  KV_CHECK(multi_ != nullptr);
  const long connections = static_cast<long>(options_.max_connections);
  curl_multi_setopt(multi_, CURLMOPT_MAX_HOST_CONNECTIONS, connections);
  // How many may be kept idle: all of a few endpoints, or reuse would suffer.
  curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, 4 * connections);
  thread_ = std::thread([this] { Run(); });
}

EventLoop::~EventLoop() { KV_CHECK(!thread_.joinable()); }

bool EventLoop::OnLoopThread() const { return current_loop == this; }

void EventLoop::Send(uint64_t id, HttpRequest request, HttpClient::Done done) {
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
    const std::string& proxy = options_.client->proxy;
    call->route.host = HostOf(proxy.empty() ? request.url : proxy);
    call->request = std::move(request);
    call->done = std::move(done);
    absl::MutexLock lock(&mutex_);
    if (!stopped_) {
      load_.fetch_add(1, std::memory_order_relaxed);
      inbox_.calls.push_back(std::move(call));
      curl_multi_wakeup(multi_);
      return;
    }
    done = std::move(call->done);
    refused = absl::CancelledError("the HTTP client was shut down");
  }
  options_.pending->fetch_sub(1);
  std::move(done)(std::move(refused));
}

void EventLoop::Cancel(uint64_t id) {
  absl::MutexLock lock(&mutex_);
  if (stopped_) return;
  inbox_.cancels.push_back(id);
  curl_multi_wakeup(multi_);
}

void EventLoop::RunAfter(uint64_t id, absl::Duration delay,
                         absl::AnyInvocable<void(absl::Status) &&> done) {
  absl::Status refused;
  if (options_.timers->fetch_add(1) >= options_.client->max_pending) {
    refused = absl::ResourceExhaustedError("too many timers of the HTTP client are pending");
  } else {
    absl::MutexLock lock(&mutex_);
    if (!stopped_) {
      inbox_.timers.emplace_back(TimerKey{Clock::now() + Ticks(delay), id}, Timer{std::move(done)});
      curl_multi_wakeup(multi_);
      return;
    }
    refused = absl::CancelledError("the HTTP client was shut down");
  }
  options_.timers->fetch_sub(1);
  std::move(done)(std::move(refused));
}

void EventLoop::AddTo(HttpClientStats* stats) const {
  const size_t active = active_.load(std::memory_order_relaxed);
  stats->running += active;
  stats->waiting += load() - std::min(load(), active);  // not read in one instant
  stats->open_connections += connections_.open.load(std::memory_order_relaxed);
  stats->opened_connections += connections_.opened.load(std::memory_order_relaxed);
}

void EventLoop::OnSourcesRemoved() {
  absl::MutexLock lock(&mutex_);
  if (stopped_) return;
  inbox_.sources_removed = true;
  curl_multi_wakeup(multi_);
}

void EventLoop::Stop() {
  absl::MutexLock lock(&mutex_);
  if (stopped_) return;
  stopped_ = true;
  // Never after: the loop frees what it would wake.
  curl_multi_wakeup(multi_);
}

void EventLoop::Join() {
  if (thread_.joinable()) thread_.join();
}

void EventLoop::Run() {
  current_loop = this;
  HoldSignals();
  while (TakeInbox()) {
    RunDueTimers();
    int running = 0;
    curl_multi_perform(multi_, &running);
    ReadCompletions();
    curl_multi_poll(multi_, nullptr, 0, PollMilliseconds(), nullptr);
  }
  EndAll();
  CloseConnections();
}

bool EventLoop::TakeInbox() {
  Inbox inbox;
  bool stopped;
  {
    absl::MutexLock lock(&mutex_);
    std::swap(inbox, inbox_);
    stopped = stopped_;
  }
  for (auto& [key, timer] : inbox.timers) timers_.emplace(key, std::move(timer));
  for (auto& call : inbox.calls) Admit(std::move(call));
  if (inbox.sources_removed) EndLost();
  for (const uint64_t id : inbox.cancels) End(id, absl::CancelledError("the HTTP call"));
  return !stopped;
}

int EventLoop::PollMilliseconds() const {
  constexpr absl::Duration kLongest = absl::Seconds(10);
  if (timers_.empty()) return static_cast<int>(absl::ToInt64Milliseconds(kLongest));
  const absl::Duration left = absl::FromChrono(timers_.begin()->first.first - Clock::now());
  // Rounded up, or the loop would spin through the last millisecond.
  return static_cast<int>(absl::ToInt64Milliseconds(
      absl::Ceil(std::clamp(left, absl::ZeroDuration(), kLongest), absl::Milliseconds(1))));
}

void EventLoop::RunDueTimers() {
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
                              HttpMethodName(call.request.method), WithoutQuery(call.request.url),
                              std::chrono::duration<double>(now - call.begin).count(),
                              call.transfer == nullptr ? ", all connections were busy" : "")));
    }
  }
}

void EventLoop::EndTimer(Timer timer, absl::Status status) {
  options_.timers->fetch_sub(1);
  std::move(timer.done)(std::move(status));
}

void EventLoop::Admit(std::unique_ptr<Call> call) {
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

void EventLoop::StartNext(const std::string& name) {
  const auto it = endpoints_.find(name);
  if (it == endpoints_.end()) return;
  Endpoint& endpoint = it->second;
  if (endpoint.active < options_.max_connections && !endpoint.waiting.empty()) {
    const uint64_t id = endpoint.waiting.front();
    endpoint.waiting.pop_front();
    ++endpoint.active;
    Start(calls_.at(id).get());
  } else if (endpoint.active == 0 && endpoint.waiting.empty()) {
    endpoints_.erase(it);
  }
}

void EventLoop::Start(Call* call) {
  routes_.Pick(&call->route, absl::Now());
  call->transfer = std::make_unique<Transfer>(TakeHandle(), &call->request);
  CURL* const handle = call->transfer->handle();
  running_.emplace(handle, call->id);
  active_.store(running_.size(), std::memory_order_relaxed);
  absl::Status status = call->transfer->Prepare(*options_.client, call->route, &connections_);
  if (status.ok() && curl_multi_add_handle(multi_, handle) != CURLM_OK) {
    status = absl::InternalError("curl_multi_add_handle");
  }
  if (!status.ok()) End(call->id, std::move(status));
}

// Its handle goes back; the call may be started again or ended.
void EventLoop::Unstart(Call* call) {
  const bool connected = call->transfer->sent();
  CURL* const handle = call->transfer->handle();
  curl_multi_remove_handle(multi_, handle);
  running_.erase(handle);
  active_.store(running_.size(), std::memory_order_relaxed);
  call->transfer.reset();
  ReturnHandle(handle);
  routes_.Release(&call->route, connected, absl::Now());
}

// After it could not connect; keeps its place among the endpoint's.
bool EventLoop::StartAnotherWay(Call* call) {
  if (!routes_.TryAnother(&call->route)) return false;
  Unstart(call);
  Start(call);
  return true;
}

// Nothing answers to an address that is gone, and the other side may not even be told.
void EventLoop::EndLost() {
  std::vector<uint64_t> lost;
  for (const auto& [handle, id] : running_) {
    if (routes_.Lost(calls_.at(id)->route)) lost.push_back(id);
  }
  for (const uint64_t id : lost) {
    const auto it = calls_.find(id);
    if (it == calls_.end()) continue;
    Call* const call = it->second.get();
    if (!call->transfer->sent() && StartAnotherWay(call)) continue;
    End(id,
        absl::UnavailableError(fmt::format("{} {}: the network interface with {} went away",
                                           HttpMethodName(call->request.method),
                                           WithoutQuery(call->request.url), call->route.source)));
  }
}

void EventLoop::ReadCompletions() {
  int left = 0;
  while (CURLMsg* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    const CURLcode code = message->data.result;
    const uint64_t id = running_.at(message->easy_handle);
    Call* const call = calls_.at(id).get();
    if (call->transfer->FailedToConnect(code) && StartAnotherWay(call)) continue;
    End(id, call->transfer->Finish(code));
  }
}

void EventLoop::End(uint64_t id, absl::StatusOr<HttpResponse> result) {
  const auto it = calls_.find(id);
  if (it == calls_.end()) return;
  const std::unique_ptr<Call> call = std::move(it->second);
  calls_.erase(it);
  timers_.erase(TimerKey{call->deadline, id});
  Endpoint& endpoint = endpoints_.at(call->endpoint);
  if (call->transfer != nullptr) {
    Unstart(call.get());
    --endpoint.active;
  } else {
    endpoint.waiting.erase(std::find(endpoint.waiting.begin(), endpoint.waiting.end(), id));
  }
  StartNext(call->endpoint);
  if (options_.client->log) {
    options_.client->log(
        DescribeExchange(call->request, result, absl::FromChrono(Clock::now() - call->begin)));
  }
  load_.fetch_sub(1, std::memory_order_relaxed);
  options_.pending->fetch_sub(1);
  std::move(call->done)(std::move(result));
}

void EventLoop::EndAll() {
  // Whatever waits is not to start in another's place.
  std::vector<uint64_t> ids;
  for (const auto& [name, endpoint] : endpoints_) {
    ids.insert(ids.end(), endpoint.waiting.begin(), endpoint.waiting.end());
  }
  for (const auto& [handle, id] : running_) ids.push_back(id);
  for (const uint64_t id : ids) End(id, absl::CancelledError("the HTTP client was shut down"));
  while (!timers_.empty()) {
    Timer timer = std::move(timers_.begin()->second);
    timers_.erase(timers_.begin());
    EndTimer(std::move(timer), absl::CancelledError("the HTTP client was shut down"));
  }
}

CURL* EventLoop::TakeHandle() {
  if (idle_handles_.empty()) {
    CURL* const handle = curl_easy_init();
    KV_CHECK(handle != nullptr);
    curl_easy_setopt(handle, CURLOPT_SHARE, options_.share->get());  // outlives curl_easy_reset
    return handle;
  }
  CURL* const handle = idle_handles_.back();
  idle_handles_.pop_back();
  return handle;
}

void EventLoop::ReturnHandle(CURL* handle) {
  if (idle_handles_.size() < options_.max_connections) {
    idle_handles_.push_back(handle);
  } else {
    curl_easy_cleanup(handle);
  }
}

// On the loop's own thread, which holds SIGPIPE.
void EventLoop::CloseConnections() {
  for (CURL* handle : idle_handles_) curl_easy_cleanup(handle);
  idle_handles_.clear();
  curl_multi_cleanup(multi_);
}

}  // namespace kvstore::http
