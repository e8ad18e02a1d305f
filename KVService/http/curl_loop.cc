#include "KVService/http/curl_loop.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <csignal>
#include <utility>

#include "KVCommon/status_macros.h"
#include "KVService/http/exchange_log.h"
#include "KVService/http/url_parts.h"
#include "absl/time/clock.h"

namespace kvstore::http {

namespace {

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

CurlLoop::CurlLoop(const Options& options, CurlShare* share, SourceAddresses* sources)
    : CallLoop(options), multi_(curl_multi_init()), share_(share), routes_(sources) {
  KV_CHECK(multi_ != nullptr);
  const long connections = static_cast<long>(options_.max_connections);
  curl_multi_setopt(multi_, CURLMOPT_MAX_HOST_CONNECTIONS, connections);
  // How many may be kept idle: all of a few endpoints, or reuse would suffer.
  curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, 4 * connections);
  StartThread();
}

void CurlLoop::Wake() { curl_multi_wakeup(multi_); }

void CurlLoop::OnSourcesRemoved() {
  absl::MutexLock lock(&mutex_);
  if (stopped()) return;
  sources_removed_ = true;
  Wake();
}

void CurlLoop::AddTo(HttpClientStats* stats) const {
  CallLoop::AddTo(stats);
  stats->open_connections += connections_.open.load(std::memory_order_relaxed);
  stats->opened_connections += connections_.opened.load(std::memory_order_relaxed);
}

void CurlLoop::Run() {
  HoldSignals();
  while (TakeInbox()) {
    if (sources_removed_.exchange(false)) EndLost();
    RunDueTimers();
    int running = 0;
    curl_multi_perform(multi_, &running);
    ReadCompletions();
    curl_multi_poll(multi_, nullptr, 0, PollMilliseconds(), nullptr);
  }
  EndAll();
  CloseConnections();
}

int CurlLoop::PollMilliseconds() const {
  const absl::Duration left = absl::FromChrono(NextDue() - Clock::now());
  // Rounded up, or the loop would spin through the last millisecond.
  return static_cast<int>(absl::ToInt64Milliseconds(
      absl::Ceil(std::max(left, absl::ZeroDuration()), absl::Milliseconds(1))));
}

absl::Status CurlLoop::Begin(Call* begun) {
  auto* const call = static_cast<CurlCall*>(begun);
  if (call->route.host.empty()) {
    const std::string& proxy = options_.client->proxy;
    call->route.host = HostOf(proxy.empty() ? call->request->url : proxy);
  }
  routes_.Pick(&call->route, absl::Now());
  call->transfer = std::make_unique<Transfer>(TakeHandle(), call->request.get());
  CURL* const handle = call->transfer->handle();
  running_.emplace(handle, call->id);
  KV_RETURN_IF_ERROR(call->transfer->Prepare(*options_.client, call->route, &connections_));
  if (curl_multi_add_handle(multi_, handle) != CURLM_OK) {
    return absl::InternalError("curl_multi_add_handle");
  }
  return absl::OkStatus();
}

// Its handle goes back; the call may be begun again.
void CurlLoop::Release(Call* released) {
  auto* const call = static_cast<CurlCall*>(released);
  const bool connected = call->transfer->sent();
  CURL* const handle = call->transfer->handle();
  curl_multi_remove_handle(multi_, handle);
  running_.erase(handle);
  call->transfer.reset();
  ReturnHandle(handle);
  routes_.Release(&call->route, connected, absl::Now());
}

// After it could not connect; keeps its place among the endpoint's. True where that is seen to,
// whatever comes of it.
bool CurlLoop::BeginAnotherWay(CurlCall* call) {
  if (!routes_.TryAnother(&call->route)) return false;
  Release(call);
  if (absl::Status status = Begin(call); !status.ok()) End(call->id, std::move(status));
  return true;
}

// Nothing answers to an address that is gone, and the other side may not even be told.
void CurlLoop::EndLost() {
  std::vector<uint64_t> lost;
  for (const auto& [handle, id] : running_) {
    if (routes_.Lost(static_cast<CurlCall*>(Find(id))->route)) lost.push_back(id);
  }
  for (const uint64_t id : lost) {
    auto* const call = static_cast<CurlCall*>(Find(id));
    if (call == nullptr) continue;
    if (!call->transfer->sent() && BeginAnotherWay(call)) continue;
    End(id,
        absl::UnavailableError(fmt::format("{} {}: the network interface with {} went away",
                                           HttpMethodName(call->request->method),
                                           WithoutQuery(call->request->url), call->route.source)));
  }
}

void CurlLoop::ReadCompletions() {
  int left = 0;
  while (CURLMsg* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    const CURLcode code = message->data.result;
    const uint64_t id = running_.at(message->easy_handle);
    auto* const call = static_cast<CurlCall*>(Find(id));
    if (call->transfer->FailedToConnect(code) && BeginAnotherWay(call)) continue;
    End(id, call->transfer->Finish(code));
  }
}

CURL* CurlLoop::TakeHandle() {
  if (idle_handles_.empty()) {
    CURL* const handle = curl_easy_init();
    KV_CHECK(handle != nullptr);
    curl_easy_setopt(handle, CURLOPT_SHARE, share_->get());  // outlives curl_easy_reset
    return handle;
  }
  CURL* const handle = idle_handles_.back();
  idle_handles_.pop_back();
  return handle;
}

void CurlLoop::ReturnHandle(CURL* handle) {
  if (idle_handles_.size() < options_.max_connections) {
    idle_handles_.push_back(handle);
  } else {
    curl_easy_cleanup(handle);
  }
}

// On the loop's own thread, which holds SIGPIPE.
void CurlLoop::CloseConnections() {
  for (CURL* handle : idle_handles_) curl_easy_cleanup(handle);
  idle_handles_.clear();
  curl_multi_cleanup(multi_);
}

}  // namespace kvstore::http
