// Tells ThreadSanitizer what absl::Mutex and its like do, since Debian's abseil is built without
// it: otherwise everything that a Mutex guards looks like a race. Linked into builds with
// KV_SANITIZE=thread only, where the linker's --wrap sends our calls here.
#include <sanitizer/tsan_interface.h>

#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"

// As the linker knows them: absl::debian3 is Debian's inline namespace.
#define KV_WRAP(returns, symbol, ...)              \
  extern "C" returns __real_##symbol(__VA_ARGS__); \
  extern "C" returns __wrap_##symbol(__VA_ARGS__)

extern "C" void AnnotateIgnoreReadsBegin(const char* file, int line);
extern "C" void AnnotateIgnoreReadsEnd(const char* file, int line);

namespace {

// Mutex evaluates the Conditions of waiters inside its calls, holding the lock in a way that is not
// told to the sanitizer.
class IgnoreReads {
 public:
  IgnoreReads() { AnnotateIgnoreReadsBegin(__FILE__, __LINE__); }
  ~IgnoreReads() { AnnotateIgnoreReadsEnd(__FILE__, __LINE__); }
};

void Acquire(absl::Mutex* mutex, unsigned flags = 0) {
  __tsan_mutex_pre_lock(mutex, flags);
  __tsan_mutex_post_lock(mutex, flags, 0);
}

void Release(absl::Mutex* mutex, unsigned flags = 0) {
  __tsan_mutex_pre_unlock(mutex, flags);
  __tsan_mutex_post_unlock(mutex, flags);
}

}  // namespace

KV_WRAP(void, _ZN4absl7debian35Mutex4LockEv, absl::Mutex* mutex) {
  {
    const IgnoreReads ignore;
    __real__ZN4absl7debian35Mutex4LockEv(mutex);
  }
  Acquire(mutex);
}

KV_WRAP(void, _ZN4absl7debian35Mutex6UnlockEv, absl::Mutex* mutex) {
  Release(mutex);
  const IgnoreReads ignore;
  __real__ZN4absl7debian35Mutex6UnlockEv(mutex);
}

KV_WRAP(void, _ZN4absl7debian35Mutex10ReaderLockEv, absl::Mutex* mutex) {
  {
    const IgnoreReads ignore;
    __real__ZN4absl7debian35Mutex10ReaderLockEv(mutex);
  }
  Acquire(mutex, __tsan_mutex_read_lock);
}

KV_WRAP(void, _ZN4absl7debian35Mutex12ReaderUnlockEv, absl::Mutex* mutex) {
  Release(mutex, __tsan_mutex_read_lock);
  const IgnoreReads ignore;
  __real__ZN4absl7debian35Mutex12ReaderUnlockEv(mutex);
}

KV_WRAP(void, _ZN4absl7debian35Mutex5AwaitERKNS0_9ConditionE, absl::Mutex* mutex,
        const absl::Condition* condition) {
  Release(mutex);
  {
    const IgnoreReads ignore;
    __real__ZN4absl7debian35Mutex5AwaitERKNS0_9ConditionE(mutex, condition);
  }
  Acquire(mutex);
}

KV_WRAP(bool, _ZN4absl7debian35Mutex17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE,
        absl::Mutex* mutex, const absl::Condition* condition, absl::Time deadline) {
  Release(mutex);
  bool result;
  {
    const IgnoreReads ignore;
    result = __real__ZN4absl7debian35Mutex17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE(
        mutex, condition, deadline);
  }
  Acquire(mutex);
  return result;
}

KV_WRAP(bool, _ZN4absl7debian35Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE,
        absl::Mutex* mutex, const absl::Condition* condition, absl::Duration timeout) {
  Release(mutex);
  bool result;
  {
    const IgnoreReads ignore;
    result = __real__ZN4absl7debian35Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE(
        mutex, condition, timeout);
  }
  Acquire(mutex);
  return result;
}

KV_WRAP(void, _ZN4absl7debian35MutexD1Ev, absl::Mutex* mutex) {
  __tsan_mutex_destroy(mutex, 0);
  __real__ZN4absl7debian35MutexD1Ev(mutex);
}

// ---- what is built on Mutex inside abseil, where no call of ours is seen

KV_WRAP(void, _ZN4absl7debian312Notification6NotifyEv, absl::Notification* notification) {
  __tsan_release(notification);
  __real__ZN4absl7debian312Notification6NotifyEv(notification);
}

KV_WRAP(void, _ZNK4absl7debian312Notification19WaitForNotificationEv,
        const absl::Notification* notification) {
  __real__ZNK4absl7debian312Notification19WaitForNotificationEv(notification);
  __tsan_acquire(const_cast<absl::Notification*>(notification));
}

KV_WRAP(bool, _ZNK4absl7debian312Notification30WaitForNotificationWithTimeoutENS0_8DurationE,
        const absl::Notification* notification, absl::Duration timeout) {
  const bool result =
      __real__ZNK4absl7debian312Notification30WaitForNotificationWithTimeoutENS0_8DurationE(
          notification, timeout);
  __tsan_acquire(const_cast<absl::Notification*>(notification));
  return result;
}

KV_WRAP(bool, _ZN4absl7debian315BlockingCounter14DecrementCountEv, absl::BlockingCounter* counter) {
  __tsan_release(counter);
  return __real__ZN4absl7debian315BlockingCounter14DecrementCountEv(counter);
}

KV_WRAP(void, _ZN4absl7debian315BlockingCounter4WaitEv, absl::BlockingCounter* counter) {
  __real__ZN4absl7debian315BlockingCounter4WaitEv(counter);
  __tsan_acquire(counter);
}
