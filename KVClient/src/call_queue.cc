#include "KVClient/src/call_queue.h"

#include <grpcpp/alarm.h>

#include <algorithm>
#include <array>
#include <memory>
#include <thread>
#include <utility>

#include "KVCommon/processors.h"
#include "absl/base/thread_annotations.h"

namespace kvstore::client {
namespace {

using std::chrono::system_clock;

// A thread receives and copies some 3 GB/s, and takes a core for it.
constexpr unsigned kCoresPerQueue = 4, kMostQueues = 8;

// A thread whose queue has nothing pending rests after this long. gRPC lets whoever polls handle
// any connection's input, so idle threads would take it from the busy one and hand it on. One
// always polls, so that lost connections are noticed.
constexpr std::chrono::milliseconds kLinger{10}, kLastLinger{1'000};
std::atomic<int> polling{0};

// Whether the caller, who polls, may stop. Counts it out.
bool LeavePolling() {
  int now = polling.load();
  while (now > 1) {
    if (polling.compare_exchange_weak(now, now - 1)) return true;
  }
  return false;
}

// Owns itself until it has happened.
class Timer final : public CallQueue::Event {
 public:
  explicit Timer(absl::AnyInvocable<void() &&> task) : task_(std::move(task)) {}

  void Start(CallQueue& queue, std::chrono::milliseconds delay) {
    alarm_.Set(queue.queue(), system_clock::now() + delay, queue.Tag(this));
  }

  void Happened(bool) override {
    const std::unique_ptr<Timer> self(this);
    std::move(task_)();
  }

 private:
  absl::AnyInvocable<void() &&> task_;
  grpc::Alarm alarm_;
};

class Queues {
 public:
  static Queues& OfProcess() {
    static Queues* const queues = new Queues;
    return *queues;
  }

  CallQueue& At(size_t index) {
    absl::MutexLock lock(&mutex_);
    CallQueue*& queue = queues_[index];
    if (queue == nullptr) queue = new CallQueue;
    return *queue;
  }
  CallQueue& Next() { return At(turn_.fetch_add(1, std::memory_order_relaxed) % count_); }

 private:
  const unsigned count_ = static_cast<unsigned>(
      std::clamp<size_t>(UsableProcessors() / kCoresPerQueue, 1, kMostQueues));
  std::atomic<unsigned> turn_{0};
  absl::Mutex mutex_;
  std::array<CallQueue*, kMostQueues> queues_ ABSL_GUARDED_BY(mutex_) = {};
};

}  // namespace

CallQueue& CallQueue::Next() { return Queues::OfProcess().Next(); }

CallQueue::CallQueue() {
  polling.fetch_add(1);
  std::thread([this] { Run(); }).detach();
}

void* CallQueue::Tag(Event* event) {
  pending_.fetch_add(1);
  // Either this sees that the thread rests, or the thread sees what is pending. To unlock is to
  // have the waiter's condition looked at.
  if (resting_.load()) absl::MutexLock lock(&mutex_);
  return event;
}

void CallQueue::After(std::chrono::milliseconds delay, absl::AnyInvocable<void() &&> task) {
  (new Timer(std::move(task)))->Start(*this, delay);
}

void CallQueue::Run() {
  while (true) {
    void* tag = nullptr;
    bool ok = false;
    if (pending_.load() > 0) {
      queue_.Next(&tag, &ok);
    } else {
      const auto linger = polling.load() > 1 ? kLinger : kLastLinger;
      const auto status = queue_.AsyncNext(&tag, &ok, system_clock::now() + linger);
      if (status == grpc::CompletionQueue::TIMEOUT) {
        if (LeavePolling()) Rest();
        continue;
      }
    }
    pending_.fetch_sub(1);
    static_cast<Event*>(tag)->Happened(ok);
  }
}

void CallQueue::Rest() {
  {
    absl::MutexLock lock(&mutex_);
    resting_.store(true);
    constexpr bool (*kWanted)(std::atomic<int>*) = [](auto* pending) {
      return pending->load() > 0;
    };
    mutex_.Await(absl::Condition(kWanted, &pending_));
    resting_.store(false);
  }
  polling.fetch_add(1);
}

void RunAfter(std::chrono::milliseconds delay, absl::AnyInvocable<void() &&> task) {
  Queues::OfProcess().At(0).After(delay, std::move(task));
}

}  // namespace kvstore::client
