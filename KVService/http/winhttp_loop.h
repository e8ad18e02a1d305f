// One thread with one WinHTTP session: its requests, those that wait for a connection, and its
// timers. As event_loop.h, which is libcurl's.
#ifndef KVSERVICE_HTTP_WINHTTP_LOOP_H_
#define KVSERVICE_HTTP_WINHTTP_LOOP_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "KVService/http/http_client.h"
#include "KVService/http/http_client_options.h"
#include "KVService/http/winhttp_exchange.h"
#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"

namespace kvstore::http {

// Send, Cancel, RunAfter and Stop are for any thread. The fields below the mutex's are the
// thread's own. WinHTTP tells of each step on threads of its own, which only leave word here.
class WinHttpLoop {
 public:
  struct Options {
    const HttpClientOptions* client = nullptr;  // all of these outlive the loop
    std::atomic<size_t>* pending = nullptr;     // of all loops
    std::atomic<size_t>* timers = nullptr;
    size_t max_connections = 1;  // of this loop, to one endpoint
  };

  explicit WinHttpLoop(const Options& options);
  // REQUIRES: Stop and Join.
  ~WinHttpLoop();
  WinHttpLoop(const WinHttpLoop&) = delete;
  WinHttpLoop& operator=(const WinHttpLoop&) = delete;

  void Send(uint64_t id, HttpRequest request, HttpClient::Done done) ABSL_LOCKS_EXCLUDED(mutex_);
  void Cancel(uint64_t id) ABSL_LOCKS_EXCLUDED(mutex_);
  void RunAfter(uint64_t id, absl::Duration delay, absl::AnyInvocable<void(absl::Status) &&> done)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // How many calls it has, waiting ones included.
  size_t load() const { return load_.load(std::memory_order_relaxed); }

  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);
  void Join();
  bool OnLoopThread() const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Call {
    uint64_t id = 0;
    std::shared_ptr<const HttpRequest> request;
    HttpClient::Done done;
    Clock::time_point begin;
    Clock::time_point deadline;  // the request's or the client's bound
    std::string endpoint;
    WinHttpExchange* exchange = nullptr;  // null while it waits for a connection
    int begun = 0;                        // how many exchanges it had
    int sends = 0;                        // of those before
  };
  struct Timer {
    absl::AnyInvocable<void(absl::Status) &&> done;  // null: the deadline of a call
  };
  using TimerKey = std::pair<Clock::time_point, uint64_t>;  // when, and the id of the call or timer
  struct Endpoint {
    size_t active = 0;  // exchanges that were not closed
    std::deque<uint64_t> waiting;
  };
  // What other threads ask for, and WinHTTP's tell.
  struct Inbox {
    std::vector<std::unique_ptr<Call>> calls;
    std::vector<uint64_t> cancels;
    std::vector<std::pair<TimerKey, Timer>> timers;
    std::vector<WinHttpEvent> events;
    bool empty() const {
      return calls.empty() && cancels.empty() && timers.empty() && events.empty();
    }
  };

  void Run();
  bool TakeInbox(bool to_the_end = false) ABSL_LOCKS_EXCLUDED(mutex_);
  void RunDueTimers();
  void EndTimer(Timer timer, absl::Status status);
  void Admit(std::unique_ptr<Call> call);
  void StartNext(const std::string& endpoint);
  void Start(Call* call);
  void OnEvent(const WinHttpEvent& event);
  void Close(Call* call);
  void End(uint64_t id, absl::StatusOr<HttpResponse> result);
  void EndAll();
  Clock::time_point NextTurn() const;

  const Options options_;
  const HINTERNET session_;
  const WinHttpExchange::Sink sink_;
  std::atomic<size_t> load_ = 0;

  absl::Mutex mutex_;
  absl::CondVar something_;
  Inbox inbox_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;

  absl::flat_hash_map<uint64_t, std::unique_ptr<Call>> calls_;
  // Those of calls, and those that are closed and that WinHTTP is not done with.
  absl::flat_hash_map<WinHttpExchange*, std::unique_ptr<WinHttpExchange>> exchanges_;
  absl::flat_hash_map<std::string, Endpoint> endpoints_;
  std::map<TimerKey, Timer> timers_;

  std::thread thread_;
};

}  // namespace kvstore::http

#endif  // KVSERVICE_HTTP_WINHTTP_LOOP_H_
