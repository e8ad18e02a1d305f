#include "KVClient/src/call_queue.h"

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"

namespace kvstore::client {
namespace {

using std::chrono::milliseconds;

// Runs a task on `queue`'s thread and waits for it.
std::thread::id ThreadOf(CallQueue& queue, milliseconds delay) {
  absl::Notification ended;
  std::thread::id id;
  queue.After(delay, [&] {
    id = std::this_thread::get_id();
    ended.Notify();
  });
  ended.WaitForNotification();
  return id;
}

TEST(CallQueue, RunsEverythingOnItsOneThread) {
  CallQueue& queue = *new CallQueue;
  const std::thread::id id = ThreadOf(queue, milliseconds(0));
  EXPECT_NE(id, std::this_thread::get_id());
  EXPECT_EQ(ThreadOf(queue, milliseconds(3)), id);
  EXPECT_NE(ThreadOf(*new CallQueue, milliseconds(0)), id);
}

// Pauses from none to far more than a thread polls for nothing, on several at a time.
TEST(CallQueue, ThreadsThatRestAreWokenByWhatComes) {
  std::vector<CallQueue*> queues;
  for (int i = 0; i < 3; ++i) queues.push_back(new CallQueue);
  for (const int pause_ms : {0, 1, 9, 10, 11, 12, 40, 100, 0}) {
    absl::BlockingCounter running(static_cast<int>(queues.size()));
    for (CallQueue* queue : queues) {
      queue->After(milliseconds(0), [&] { running.DecrementCount(); });
    }
    running.Wait();
    std::this_thread::sleep_for(milliseconds(pause_ms));
  }
}

TEST(CallQueue, TakesTasksFromAllThreadsAndItsOwn) {
  CallQueue& queue = *new CallQueue;
  constexpr int kThreads = 4, kTasks = 200;
  absl::BlockingCounter left(2 * kThreads * kTasks);
  int plain = 0;  // all on one thread
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (int k = 0; k < kTasks; ++k) {
        queue.After(milliseconds(k % 3), [&] {
          ++plain;
          left.DecrementCount();
          RunAfter(milliseconds(0), [&] { left.DecrementCount(); });
        });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  left.Wait();
  EXPECT_EQ(plain, kThreads * kTasks);
}

}  // namespace
}  // namespace kvstore::client
