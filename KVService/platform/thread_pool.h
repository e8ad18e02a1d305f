// A bounded pool of threads for work that blocks: files, RocksDB, name resolution.
#ifndef KVSERVICE_PLATFORM_THREAD_POOL_H_
#define KVSERVICE_PLATFORM_THREAD_POOL_H_

#include <cstddef>
#include <deque>
#include <string>
#include <thread>
#include <vector>

#include "KVService/platform/queue_load.h"
#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"

namespace kvstore {

// Thread-safe. Tasks start in the order they were taken in, run outside locks, and must not throw.
class ThreadPool {
 public:
  using Task = absl::AnyInvocable<void() &&>;

  // `name` shows in debuggers (its first 15 bytes). At most `max_queue` tasks wait; those that
  // run are not counted. REQUIRES: threads > 0.
  ThreadPool(std::string name, size_t threads, size_t max_queue);

  // As Shutdown. REQUIRES: not on a thread of this pool.
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // False, and the task is dropped unrun, when the queue is full or the pool was shut down.
  bool TrySubmit(Task task) ABSL_LOCKS_EXCLUDED(mutex_);

  // Takes nothing more in, runs what is queued, waits for the threads to end. Idempotent: every
  // call returns after the last task. REQUIRES: not on a thread of this pool.
  void Shutdown() ABSL_LOCKS_EXCLUDED(mutex_, join_mutex_);

  QueueLoad load() const ABSL_LOCKS_EXCLUDED(mutex_);

  // Whether the caller is one of this pool's tasks.
  bool OnPoolThread() const;

 private:
  void Run();
  bool HasWorkOrStopped() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string name_;
  const size_t max_queue_;

  mutable absl::Mutex mutex_;
  std::deque<Task> queue_ ABSL_GUARDED_BY(mutex_);
  size_t running_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;

  absl::Mutex join_mutex_ ABSL_ACQUIRED_BEFORE(mutex_);
  std::vector<std::thread> threads_ ABSL_GUARDED_BY(join_mutex_);
};

}  // namespace kvstore

#endif  // KVSERVICE_PLATFORM_THREAD_POOL_H_
