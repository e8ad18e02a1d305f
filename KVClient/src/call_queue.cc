#include "KVClient/src/call_queue.h"

#include <grpcpp/alarm.h>

#include <algorithm>
#include <memory>
#include <thread>
#include <utility>

namespace kvstore::client {
namespace {

using std::chrono::system_clock;

// Each polls for its own connections and copies what they bring to the caller's memory. One that
// no connection uses has no thread.
constexpr unsigned kFewestQueues = 2, kMostQueues = 8;

// A thread whose queue has nothing pending rests after this long. gRPC lets any thread that polls
// handle any connection's input, so idle ones would take it from the busy and hand it on: two
// switches of threads an event. One always polls, so that lost connections are noticed.
constexpr std::chrono::milliseconds kLinger{10}, kLastLinger{1'000};
std::atomic<int> polling{0};

// Whether the caller, who polls, may stop. Counts it out.
bool LeavePolling() {
  int others = polling.load();
  while (others > 1) {
    if (polling.compare_exchange_weak(others, others - 1)) return true;
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

}  // namespace

CallQueue& CallQueue::Started(unsigned index) {
  static const unsigned count =
      std::clamp(std::thread::hardware_concurrency(), kFewestQueues, kMostQueues);
  static CallQueue* const queues = new CallQueue[count];
  CallQueue& queue = queues[index % count];
  if (!queue.started_.exchange(true)) std::thread([&queue] { queue.Run(); }).detach();
  return queue;
}

CallQueue& CallQueue::Next() {
  static std::atomic<unsigned> turn{0};
  return Started(turn.fetch_add(1, std::memory_order_relaxed));
}

CallQueue& CallQueue::First() { return Started(0); }

void* CallQueue::Tag(Event* event) {
  pending_.fetch_add(1);
  // Either this sees that the thread rests, or the thread sees what is pending. The mutex's next
  // unlocking looks at what its waiter waits for.
  if (resting_.load()) absl::MutexLock lock(&mutex_);
  return event;
}

void CallQueue::Run() {
  polling.fetch_add(1);
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
    mutex_.Await(absl::Condition(
        +[](std::atomic<int>* pending) { return pending->load() > 0; }, &pending_));
    resting_.store(false);
  }
  polling.fetch_add(1);
}

void RunAfter(std::chrono::milliseconds delay, absl::AnyInvocable<void() &&> task) {
  (new Timer(std::move(task)))->Start(CallQueue::First(), delay);
}

}  // namespace kvstore::client
