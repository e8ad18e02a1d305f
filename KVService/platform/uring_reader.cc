#include "KVService/platform/uring_reader.h"

#include <liburing.h>
#include <pthread.h>
#include <spdlog/fmt/fmt.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <deque>
#include <system_error>
#include <thread>
#include <utility>

#include "KVCommon/status_macros.h"
#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"

namespace kvstore {
namespace {

// Reads that the kernel has at a time; more wait here.
constexpr unsigned kEntries = 128;

struct Request {
  File* file;
  int handle;
  uint64_t offset;
  std::span<std::byte> into;
  absl::AnyInvocable<void(absl::Status) &&> done;
  int result = 0;  // of the kernel: bytes, or an error's negative
};

absl::Status NoRing(std::string_view what, int error) {
  return absl::FailedPreconditionError(
      fmt::format("io_uring: {}: {}", what, std::generic_category().message(error)));
}

// One thread owns the ring: it hands in whatever waits and takes out whatever is finished in the
// same call of the kernel. Others put reads into a queue and, if the thread sleeps, wake it.
class UringReader : public AsyncReader {
 public:
  static absl::StatusOr<std::unique_ptr<AsyncReader>> Make() {
    std::unique_ptr<UringReader> reader(new UringReader);
    reader->wake_ = ::eventfd(0, EFD_CLOEXEC);
    if (reader->wake_ < 0) return NoRing("eventfd", errno);
    absl::Notification made;
    reader->thread_ = std::thread([&made, r = reader.get()] {
      r->init_status_ = r->InitRing();
      const bool go_on = r->init_status_.ok();
      made.Notify();
      if (go_on) r->Run();
    });
    made.WaitForNotification();
    if (!reader->init_status_.ok()) {
      reader->thread_.join();
      return reader->init_status_;
    }
    return reader;
  }

  ~UringReader() override {
    Shutdown();
    if (ring_made_) ::io_uring_queue_exit(&ring_);
    if (wake_ >= 0) ::close(wake_);
  }

  void Read(File& file, uint64_t offset, std::span<std::byte> into,
            absl::AnyInvocable<void(absl::Status) &&> done) override {
    const int handle = file.ReadHandle();
    if (handle < 0) return std::move(done)(file.ReadAt(offset, into));
    bool wake = false;
    {
      absl::MutexLock lock(&mutex_);
      waiting_.push_back(new Request{&file, handle, offset, into, std::move(done)});
      wake = std::exchange(asleep_, false);
    }
    if (wake) Wake();
  }

  void Shutdown() override {
    if (!thread_.joinable()) return;
    {
      absl::MutexLock lock(&mutex_);
      stopped_ = true;
      asleep_ = false;
    }
    Wake();
    thread_.join();
  }

  QueueLoad load() const override {
    absl::MutexLock lock(&mutex_);
    return {waiting_.size(), in_kernel_.load(std::memory_order_relaxed)};
  }

  const char* name() const override { return "io_uring"; }

 private:
  UringReader() = default;

  absl::Status InitRing() {
    // Completions are then dealt with when this thread, the ring's only one, asks for them, and
    // interrupt nobody. Kernels before 6.1 do without.
    int error = ::io_uring_queue_init(kEntries, &ring_,
                                      IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
    if (error == -EINVAL) error = ::io_uring_queue_init(kEntries, &ring_, 0);
    if (error != 0) return NoRing("set up", -error);
    ring_made_ = true;
    io_uring_probe* const probe = ::io_uring_get_probe_ring(&ring_);
    const bool reads = probe != nullptr && io_uring_opcode_supported(probe, IORING_OP_READ);
    if (probe != nullptr) ::io_uring_free_probe(probe);
    return reads ? absl::OkStatus() : NoRing("read", ENOSYS);
  }

  void Wake() {
    const uint64_t one = 1;
    KV_CHECK(::write(wake_, &one, sizeof(one)) == sizeof(one));
  }

  void Run() {
    pthread_setname_np(pthread_self(), "kv-uring");
    ListenForWake();
    while (TakeWaiting()) {
      const int submitted = ::io_uring_submit_and_wait(&ring_, 1);
      KV_CHECK(submitted >= 0 || submitted == -EINTR || submitted == -EAGAIN ||
               submitted == -EBUSY);
      Reap();
    }
  }

  // A read of wake_, whose end ends the thread's sleep.
  void ListenForWake() {
    io_uring_sqe* const sqe = ::io_uring_get_sqe(&ring_);
    KV_CHECK(sqe != nullptr);
    ::io_uring_prep_read(sqe, wake_, &wakes_, sizeof(wakes_), 0);
    ::io_uring_sqe_set_data(sqe, nullptr);
  }

  // Puts what waits into the ring. False when there is nothing left to do, for ever.
  bool TakeWaiting() {
    absl::MutexLock lock(&mutex_);
    // One entry is for wake_.
    while (!waiting_.empty() && in_kernel_ < kEntries - 1) {
      Request* const request = waiting_.front();
      const size_t size = request->into.size();
      if (bytes_in_kernel_ > 0 && bytes_in_kernel_ + size > kBytesAtATime) break;
      io_uring_sqe* const sqe = ::io_uring_get_sqe(&ring_);
      if (sqe == nullptr) break;
      waiting_.pop_front();
      bytes_in_kernel_ += size;
      ::io_uring_prep_read(sqe, request->handle, request->into.data(),
                           static_cast<unsigned>(request->into.size()), request->offset);
      ::io_uring_sqe_set_data(sqe, request);
      ++in_kernel_;
    }
    asleep_ = true;
    return !stopped_ || in_kernel_ > 0;
  }

  void Reap() {
    std::array<io_uring_cqe*, kEntries> entries;
    const unsigned count = ::io_uring_peek_batch_cqe(&ring_, entries.data(), entries.size());
    std::array<Request*, kEntries> finished;
    unsigned ended = 0;
    for (unsigned i = 0; i < count; ++i) {
      auto* const request = static_cast<Request*>(::io_uring_cqe_get_data(entries[i]));
      if (request == nullptr) {
        ListenForWake();
        continue;
      }
      request->result = entries[i]->res;
      bytes_in_kernel_ -= request->into.size();
      finished[ended++] = request;
    }
    ::io_uring_cq_advance(&ring_, count);
    in_kernel_ -= ended;
    {
      absl::MutexLock lock(&mutex_);
      asleep_ = false;  // it will look at what waits before it sleeps
    }
    for (unsigned i = 0; i < ended; ++i) End(std::unique_ptr<Request>(finished[i]));
  }

  void End(std::unique_ptr<Request> request) {
    absl::Status status;
    const size_t size = request->into.size();
    if (request->result < 0 || static_cast<size_t>(request->result) != size) {
      // An error, a signal, the file's end: rare. An ordinary read finishes it, or says in the
      // usual words what is wrong.
      size_t done = request->result < 0 ? 0 : static_cast<size_t>(request->result);
      done -= done % Buffer::kDirectAlignment;
      status = request->file->ReadAt(request->offset + done, request->into.subspan(done));
    }
    auto done = std::move(request->done);
    request.reset();
    std::move(done)(std::move(status));
  }

  // The thread's own, once it runs.
  io_uring ring_;
  bool ring_made_ = false;
  absl::Status init_status_;
  std::atomic<unsigned> in_kernel_ = 0;  // changed by the thread alone
  size_t bytes_in_kernel_ = 0;
  uint64_t wakes_ = 0;

  int wake_ = -1;
  mutable absl::Mutex mutex_;
  std::deque<Request*> waiting_ ABSL_GUARDED_BY(mutex_);
  bool asleep_ ABSL_GUARDED_BY(mutex_) = false;  // needs a Wake to see what waits
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<AsyncReader>> MakeUringReader() { return UringReader::Make(); }

}  // namespace kvstore
