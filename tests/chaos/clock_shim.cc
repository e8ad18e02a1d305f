// A wall clock that can be set, for one process, while it runs: LD_PRELOAD it, with KV_CLOCK_OFFSET
// naming a file of 8 bytes, nanoseconds that the process's clock is ahead of the system's. The
// monotonic clock stays as it is, as it does when an operator or NTP sets the time.
//
// Not Debian's libfaketime: that changes what the clock says but not the waits until a time of that
// clock that go to the kernel as futex calls, which all of abseil's are. A process whose clock is
// an hour ahead would wait for an hour where it asked for half a second: a failure that no real
// clock has. Here such waits end by the clock that the process sees, and those that run when it is
// set go by the new time, as in the kernel.
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdint>
#include <cstdlib>

namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kLook = 20'000'000;  // a wait looks this often whether the clock was set
constexpr int64_t kWallClock = 1'000'000'000 * kSecond;  // no machine has been up for that long

const std::atomic<int64_t>* MapOffset() {
  static std::atomic<int64_t> none = 0;
  const char* const path = std::getenv("KV_CLOCK_OFFSET");
  const int file = path == nullptr ? -1 : open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return &none;
  void* const map = mmap(nullptr, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
  close(file);
  return map == MAP_FAILED ? &none : static_cast<const std::atomic<int64_t>*>(map);
}

int64_t Offset() {
  static const std::atomic<int64_t>* const offset = MapOffset();
  return offset->load(std::memory_order_relaxed);
}

template <typename Function>
Function Next(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

int64_t Nanos(const timespec& time) { return time.tv_sec * kSecond + time.tv_nsec; }
timespec Spec(int64_t nanos) { return {nanos / kSecond, nanos % kSecond}; }

using Syscall = long (*)(long, ...);
Syscall RealSyscall() {
  static const auto real = Next<Syscall>("syscall");
  return real;
}

int RealTime(clockid_t clock, timespec* time) {
  static const auto real = Next<int (*)(clockid_t, timespec*)>("clock_gettime");
  return real(clock, time);
}

int64_t SystemNow() {
  timespec now{};
  RealTime(CLOCK_REALTIME, &now);
  return Nanos(now);
}

// One wait for a time of this process's clock, in the system's; it ends sooner, to look whether
// the clock was set.
struct Turn {
  explicit Turn(int64_t until) : until(until) {
    const int64_t look = SystemNow() + kLook;
    // A time long past, such as gRPC waits until for what is there already, stays a valid one.
    due = Spec(std::max<int64_t>(0, std::min(until - Offset(), look)));
  }
  bool HasCome() const { return until - Offset() <= SystemNow(); }

  const int64_t until;
  timespec due;
};

}  // namespace

extern "C" {

int clock_gettime(clockid_t clock, timespec* time) {
  const int result = RealTime(clock, time);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
    *time = Spec(Nanos(*time) + Offset());
  }
  return result;
}

int gettimeofday(timeval* time, void*) {
  const int64_t now = SystemNow() + Offset();
  *time = {now / kSecond, now % kSecond / 1000};
  return 0;
}

time_t time(time_t* out) {
  const time_t now = (SystemNow() + Offset()) / kSecond;
  if (out != nullptr) *out = now;
  return now;
}

long syscall(long number, ...) {
  va_list list;
  va_start(list, number);
  long a[6];
  for (long& each : a) each = va_arg(list, long);
  va_end(list);
  const auto real = RealSyscall();
  const bool timed = number == SYS_futex && a[3] != 0 && (a[1] & FUTEX_CLOCK_REALTIME) != 0 &&
                     (a[1] & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET;
  if (!timed) return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
  const int64_t until = Nanos(*reinterpret_cast<const timespec*>(a[3]));
  while (true) {  // the kernel compares the futex's value anew, so no wake-up is lost in between
    const Turn turn(until);
    const long outcome = real(number, a[0], a[1], a[2], &turn.due, a[4], a[5]);
    if (outcome != -1 || errno != ETIMEDOUT || turn.HasCome()) return outcome;
  }
}

// The clock of a condition variable cannot be asked for, but the time tells it.
int pthread_cond_timedwait(pthread_cond_t* condition, pthread_mutex_t* mutex,
                           const timespec* time) {
  static const auto real =
      Next<int (*)(pthread_cond_t*, pthread_mutex_t*, const timespec*)>("pthread_cond_timedwait");
  if (Nanos(*time) < kWallClock) return real(condition, mutex, time);
  const Turn turn(Nanos(*time));
  const int outcome = real(condition, mutex, &turn.due);
  // Waiting on would lose what was signalled meanwhile; callers expect to be woken for nothing.
  return outcome == ETIMEDOUT && !turn.HasCome() ? 0 : outcome;
}

}  // extern "C"
