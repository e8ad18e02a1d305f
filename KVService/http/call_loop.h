// One thread of an HttpClient: its calls, those that wait for a connection, and its timers. How an
// exchange is made is the subclass's, which stands on a library.
#ifndef KVSERVICE_HTTP_CALL_LOOP_H_
#define KVSERVICE_HTTP_CALL_LOOP_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "KVService/http/http_client.h"
#include "KVService/http/http_client_options.h"
#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"

namespace kvstore::http {

// Send, Cancel, RunAfter, Stop and those that only look are for any thread; all else, the
// subclass's part included, is the loop's thread's own.
class CallLoop {
 public:
  struct Options {
    const HttpClientOptions* client = nullptr;  // all of these outlive the loop
    std::atomic<size_t>* pending = nullptr;     // of all loops
    std::atomic<size_t>* timers = nullptr;
    size_t max_connections = 1;  // of this loop, to one endpoint
  };

  // REQUIRES: Stop and Join.
  virtual ~CallLoop();
  CallLoop(const CallLoop&) = delete;
  CallLoop& operator=(const CallLoop&) = delete;

  void Send(uint64_t id, HttpRequest request, HttpClient::Done done) ABSL_LOCKS_EXCLUDED(mutex_);
  void Cancel(uint64_t id) ABSL_LOCKS_EXCLUDED(mutex_);
  void RunAfter(uint64_t id, absl::Duration delay, absl::AnyInvocable<void(absl::Status) &&> done)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // How many calls it has, waiting ones included.
  size_t load() const { return load_.load(std::memory_order_relaxed); }
  virtual void AddTo(HttpClientStats* stats) const;

  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);
  void Join();
  bool OnLoopThread() const;

 protected:
  // Not the wall clock: where that is set back by a day, no timer may be a day late.
  using Clock = std::chrono::steady_clock;
  struct Call {
    virtual ~Call() = default;
    uint64_t id = 0;
    std::shared_ptr<const HttpRequest> request;
    HttpClient::Done done;
    Clock::time_point begin;
    Clock::time_point deadline;  // the request's or the client's bound
    std::string endpoint;
    bool started = false;  // it has a connection, or is getting one
  };

  explicit CallLoop(const Options& options) : options_(options) {}

  // Starts the thread, which runs Run. At the end of the subclass's constructor.
  void StartThread();

  // Until stopped: TakeInbox and RunDueTimers each time round, and waits in between, until NextDue
  // at most. Then EndAll.
  virtual void Run() = 0;
  // Has it go round. On any thread, not once stopped and the thread gone on.
  virtual void Wake() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) = 0;
  // A call of the subclass's own kind. On any thread.
  virtual std::unique_ptr<Call> MakeCall() = 0;
  // Starts the exchange on a connection that the call may take; the subclass Ends it. An error ends
  // it at once.
  virtual absl::Status Begin(Call* call) = 0;
  // Of a call that was begun, and ends: gives up what it has of the library.
  virtual void Release(Call* call) = 0;

  // Does what other threads asked for. False once stopped.
  bool TakeInbox() ABSL_LOCKS_EXCLUDED(mutex_);
  bool HasWorkOrStopped() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool stopped() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopped_; }
  void RunDueTimers();
  Clock::time_point NextDue() const;
  // Nothing where the call has ended.
  void End(uint64_t id, absl::StatusOr<HttpResponse> result);
  void EndAll();
  // Null where it has ended.
  Call* Find(uint64_t id) const;

  const Options options_;
  absl::Mutex mutex_;

 private:
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
    bool empty() const { return calls.empty() && cancels.empty() && timers.empty(); }
  };

  void EndTimer(Timer timer, absl::Status status);
  void Admit(std::unique_ptr<Call> call);
  void StartNext(const std::string& endpoint);

  std::atomic<size_t> load_ = 0;
  std::atomic<size_t> active_ = 0;  // of those, the ones that were started

  Inbox inbox_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;

  absl::flat_hash_map<uint64_t, std::unique_ptr<Call>> calls_;
  absl::flat_hash_map<std::string, Endpoint> endpoints_;
  std::map<TimerKey, Timer> timers_;

  std::thread thread_;
};

}  // namespace kvstore::http

#endif  // KVSERVICE_HTTP_CALL_LOOP_H_
