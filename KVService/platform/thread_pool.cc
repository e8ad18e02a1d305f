#include "KVService/platform/thread_pool.h"

#if defined(__linux__)
#include <pthread.h>
#endif

#include <utility>

#include "KVCommon/status_macros.h"

namespace kvstore {
namespace {

// The pool whose task this thread runs. Cheaper and simpler than comparing thread ids.
thread_local const ThreadPool* current_pool = nullptr;

}  // namespace

ThreadPool::ThreadPool(std::string name, size_t threads, size_t max_queue)
    : name_(std::move(name)), max_queue_(max_queue) {
  KV_CHECK(threads > 0);
  absl::MutexLock lock(&join_mutex_);
  threads_.reserve(threads);
  for (size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { Run(); });
}

ThreadPool::~ThreadPool() { Shutdown(); }

bool ThreadPool::TrySubmit(Task task) {
  absl::MutexLock lock(&mutex_);
  if (stopped_ || queue_.size() >= max_queue_) return false;
  queue_.push_back(std::move(task));
  return true;
}

void ThreadPool::Shutdown() {
  // Joining oneself would never return; better to say so.
  KV_CHECK(!OnPoolThread());
  absl::MutexLock join_lock(&join_mutex_);
  {
    absl::MutexLock lock(&mutex_);
    stopped_ = true;
  }
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

QueueLoad ThreadPool::load() const {
  absl::MutexLock lock(&mutex_);
  return {queue_.size(), running_};
}

bool ThreadPool::OnPoolThread() const { return current_pool == this; }

bool ThreadPool::HasWorkOrStopped() const { return stopped_ || !queue_.empty(); }

void ThreadPool::Run() {
  current_pool = this;
#if defined(__linux__)
  pthread_setname_np(pthread_self(), name_.substr(0, 15).c_str());
#endif
  for (size_t ended = 0;; ended = 1) {
    Task task;
    {
      absl::MutexLock lock(&mutex_);
      running_ -= ended;
      mutex_.Await(absl::Condition(this, &ThreadPool::HasWorkOrStopped));
      if (queue_.empty()) return;
      task = std::move(queue_.front());
      queue_.pop_front();
      ++running_;
    }
    std::move(task)();
  }
}

}  // namespace kvstore
