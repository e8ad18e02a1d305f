#include "KVService/http/winhttp_loop.h"

#include <algorithm>
#include <utility>

#include "KVCommon/status_macros.h"

namespace kvstore::http {

namespace {

// How often a request is begun where kept connections turn out dead one after the other.
constexpr int kMaxBeginnings = 5;

}  // namespace

WinHttpLoop::WinHttpLoop(const Options& options)
    : CallLoop(options),
      session_(OpenWinHttpSession(options.client->proxy, options.max_connections)),
      sink_([this](WinHttpEvent event) {
        absl::MutexLock lock(&mutex_);
        events_.push_back(event);
        something_.Signal();
      }) {
  KV_CHECK(session_ != nullptr);
  StartThread();
}

void WinHttpLoop::Wake() { something_.Signal(); }

void WinHttpLoop::Run() {
  while (TakeInbox()) {
    RunDueTimers();
    AwaitEvents(/*to_the_end=*/false);
  }
  EndAll();
  // WinHTTP may still write into what it has, and tell.
  while (!exchanges_.empty()) AwaitEvents(/*to_the_end=*/true);
  WinHttpCloseHandle(session_);
}

// Until there is something to do, or due; `to_the_end`: until WinHTTP tells something.
void WinHttpLoop::AwaitEvents(bool to_the_end) {
  std::vector<WinHttpEvent> events;
  {
    absl::MutexLock lock(&mutex_);
    const Clock::time_point until = NextDue();
    while (events_.empty() && (to_the_end || !HasWorkOrStopped())) {
      const absl::Duration left = absl::FromChrono(until - Clock::now());
      if (left <= absl::ZeroDuration() || something_.WaitWithTimeout(&mutex_, left)) break;
    }
    std::swap(events, events_);
  }
  for (const WinHttpEvent& event : events) OnEvent(event);
}

absl::Status WinHttpLoop::Begin(Call* begun) {
  auto* const call = static_cast<WinHttpCall*>(begun);
  ++call->begun;
  auto exchange = std::make_unique<WinHttpExchange>(call->id, call->request, &sink_);
  call->exchange = exchange.get();
  exchanges_.emplace(call->exchange, std::move(exchange));
  const absl::Duration connect =
      std::min(options_.client->connect_timeout, call->request->connect_timeout);
  return call->exchange->Start(session_, connect, absl::FromChrono(call->deadline - Clock::now()));
}

// Others need not wait for WinHTTP to be done with it, which keeps to the most connections by
// itself.
void WinHttpLoop::Release(Call* released) {
  WinHttpExchange* const exchange =
      std::exchange(static_cast<WinHttpCall*>(released)->exchange, nullptr);
  exchange->Close();
  if (exchange->closed()) exchanges_.erase(exchange);
}

void WinHttpLoop::OnEvent(const WinHttpEvent& event) {
  WinHttpExchange* const exchange = event.exchange;
  std::optional<absl::StatusOr<HttpResponse>> end = exchange->OnEvent(event);
  if (exchange->closed()) {
    exchanges_.erase(exchange);
    return;
  }
  if (!end) return;
  auto* const call = static_cast<WinHttpCall*>(Find(exchange->call()));
  if (exchange->StaleConnection() && call->begun < kMaxBeginnings) {
    call->sends += exchange->sends();
    Release(call);
    if (absl::Status status = Begin(call); !status.ok()) End(call->id, std::move(status));
    return;
  }
  if (end->ok()) (*end)->sends += call->sends;
  End(call->id, *std::move(end));
}

}  // namespace kvstore::http
