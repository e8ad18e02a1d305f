#include "KVService/platform/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

namespace kvstore {
namespace {

TEST(ThreadPoolTest, RunsEveryTaskThatItTookIn) {
  std::atomic<int> ran = 0;
  {
    ThreadPool pool("test", 3, 1000);
    for (int i = 0; i < 1000; ++i) ASSERT_TRUE(pool.TrySubmit([&ran] { ++ran; }));
  }
  EXPECT_EQ(ran, 1000);
}

TEST(ThreadPoolTest, RefusesWhenTheQueueIsFull) {
  ThreadPool pool("test", 1, 2);
  std::promise<void> started, release;
  ASSERT_TRUE(pool.TrySubmit([&] {
    started.set_value();
    release.get_future().wait();
  }));
  started.get_future().wait();
  std::atomic<int> ran = 0;
  EXPECT_TRUE(pool.TrySubmit([&ran] { ++ran; }));
  EXPECT_TRUE(pool.TrySubmit([&ran] { ++ran; }));
  EXPECT_FALSE(pool.TrySubmit([&ran] { ++ran; }));
  release.set_value();
  pool.Shutdown();
  EXPECT_EQ(ran, 2);
}

TEST(ThreadPoolTest, TellsWhatItHasToDo) {
  ThreadPool pool("test", 2, 10);
  std::promise<void> release;
  const std::shared_future<void> released = release.get_future().share();
  std::promise<void> started[2];
  for (std::promise<void>& start : started) {
    ASSERT_TRUE(pool.TrySubmit([&start, released] {
      start.set_value();
      released.wait();
    }));
  }
  for (std::promise<void>& start : started) start.get_future().wait();
  EXPECT_EQ(pool.load().running, 2u);
  EXPECT_EQ(pool.load().waiting, 0u);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(pool.TrySubmit([] {}));
  EXPECT_EQ(pool.load().waiting, 3u);
  release.set_value();
  pool.Shutdown();
  EXPECT_EQ(pool.load().running, 0u);
  EXPECT_EQ(pool.load().waiting, 0u);
}

TEST(ThreadPoolTest, ShutdownRunsWhatIsQueuedAndRefusesTheRest) {
  ThreadPool pool("a name longer than fifteen bytes", 1, 10);
  std::promise<void> release;
  std::shared_future<void> released = release.get_future().share();
  std::atomic<int> ran = 0;
  ASSERT_TRUE(pool.TrySubmit([released] { released.wait(); }));
  ASSERT_TRUE(pool.TrySubmit([&ran] { ++ran; }));
  std::thread closer([&] { pool.Shutdown(); });
  release.set_value();
  closer.join();
  EXPECT_EQ(ran, 1);
  EXPECT_FALSE(pool.TrySubmit([&ran] { ++ran; }));
  pool.Shutdown();
  EXPECT_EQ(ran, 1);
}

TEST(ThreadPoolTest, KnowsItsOwnThreads) {
  ThreadPool pool("one", 1, 1), other("other", 1, 1);
  EXPECT_FALSE(pool.OnPoolThread());
  std::promise<std::pair<bool, bool>> answer;
  ASSERT_TRUE(pool.TrySubmit([&] {
    answer.set_value({pool.OnPoolThread(), other.OnPoolThread()});
  }));
  EXPECT_EQ(answer.get_future().get(), (std::pair{true, false}));
}

}  // namespace
}  // namespace kvstore
