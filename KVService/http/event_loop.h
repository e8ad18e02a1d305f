// One thread with one CURLM: its requests, those that wait for a connection, and its timers.
#ifndef KVSERVICE_HTTP_EVENT_LOOP_H_
#define KVSERVICE_HTTP_EVENT_LOOP_H_

#include <curl/curl.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "KVService/http/curl_http_client.h"
#include "KVService/http/http_client.h"
#include "KVService/http/route_picker.h"
#include "KVService/http/transfer.h"
#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"

namespace kvstore::http {

// Send, Cancel, RunAfter and Stop are for any thread. The fields below the mutex's are the
// thread's own.
class EventLoop {
 public:
  struct Options {
    const HttpClientOptions* client = nullptr;  // all of these outlive the loop
    CurlShare* share = nullptr;
    SourceAddresses* sources = nullptr;      // null: every connection is the system's to route
    std::atomic<size_t>* pending = nullptr;  // of all loops
    std::atomic<size_t>* timers = nullptr;
    size_t max_connections = 1;  // of this loop, to one endpoint
  };

  explicit EventLoop(const Options& options);
  // REQUIRES: Stop and Join.
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  void Send(uint64_t id, HttpRequest request, HttpClient::Done done) ABSL_LOCKS_EXCLUDED(mutex_);
  void Cancel(uint64_t id) ABSL_LOCKS_EXCLUDED(mutex_);
  void RunAfter(uint64_t id, absl::Duration delay, absl::AnyInvocable<void(absl::Status) &&> done)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // How many calls it has, waiting ones included.
  size_t load() const { return load_.load(std::memory_order_relaxed); }

  void AddTo(HttpClientStats* stats) const;

  // Some of the sources are gone: what runs on them ends, or begins anew where it may.
  void OnSourcesRemoved() ABSL_LOCKS_EXCLUDED(mutex_);

  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);
  void Join();
  bool OnLoopThread() const;

 private:
  // Not the wall clock: where that is set back by a day, no timer may be a day late.
  using Clock = std::chrono::steady_clock;
  struct Call {
    uint64_t id = 0;
    HttpRequest request;
    HttpClient::Done done;
    Clock::time_point begin;
    Clock::time_point deadline;  // the request's or the client's bound
    std::string endpoint;
    Route route;
    std::unique_ptr<Transfer> transfer;  // null while it waits for a connection
  };
  struct Timer {
    absl::AnyInvocable<void(absl::Status) &&> done;  // null: the deadline of a call
  };
  using TimerKey = std::pair<Clock::time_point, uint64_t>;  // when, and the id of the call or timer
  struct Endpoint {
    size_t active = 0;
    std::deque<uint64_t> waiting;
  };
  // What other threads ask for.
  struct Inbox {
    std::vector<std::unique_ptr<Call>> calls;
    std::vector<uint64_t> cancels;
    std::vector<std::pair<TimerKey, Timer>> timers;
    bool sources_removed = false;
  };

  void Run();
  bool TakeInbox() ABSL_LOCKS_EXCLUDED(mutex_);
  void RunDueTimers();
  void EndTimer(Timer timer, absl::Status status);
  void Admit(std::unique_ptr<Call> call);
  void StartNext(const std::string& endpoint);
  void Start(Call* call);
  void Unstart(Call* call);
  bool StartAnotherWay(Call* call);
  void EndLost();
  void ReadCompletions();
  void End(uint64_t id, absl::StatusOr<HttpResponse> result);
  void EndAll();
  int PollMilliseconds() const;

  CURL* TakeHandle();
  void ReturnHandle(CURL* handle);
  void CloseConnections();

  const Options options_;
  CURLM* const multi_;
  std::atomic<size_t> load_ = 0;
  std::atomic<size_t> active_ = 0;  // of those, the ones that have a transfer
  ConnectionCount connections_;

  absl::Mutex mutex_;
  Inbox inbox_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;

  absl::flat_hash_map<uint64_t, std::unique_ptr<Call>> calls_;
  absl::flat_hash_map<CURL*, uint64_t> running_;
  absl::flat_hash_map<std::string, Endpoint> endpoints_;
  std::map<TimerKey, Timer> timers_;
  std::vector<CURL*> idle_handles_;
  RoutePicker routes_;

  std::thread thread_;
};

}  // namespace kvstore::http

#endif  // KVSERVICE_HTTP_EVENT_LOOP_H_
