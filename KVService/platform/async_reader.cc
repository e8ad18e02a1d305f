#include "KVService/platform/async_reader.h"

#include <utility>

#include "KVService/platform/uring_reader.h"
#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace kvstore {
namespace {

class BlockingReader : public AsyncReader {
 public:
  void Read(File& file, uint64_t offset, std::span<std::byte> into,
            absl::AnyInvocable<void(absl::Status) &&> done) override {
    WaitForTurn(into.size());
    absl::Status status = file.ReadAt(offset, into);
    {
      absl::MutexLock lock(&mutex_);
      reading_ -= into.size();
      --running_;
    }
    std::move(done)(std::move(status));
  }
  void Shutdown() override {}
  QueueLoad load() const override {
    absl::MutexLock lock(&mutex_);
    return {static_cast<size_t>(tickets_ - turn_), running_};
  }
  const char* name() const override { return "threads"; }

 private:
  void WaitForTurn(size_t size) {
    absl::MutexLock lock(&mutex_);
    const uint64_t mine = tickets_++;
    const auto may_read = [this, mine, size] {
      mutex_.AssertReaderHeld();
      return mine == turn_ && (reading_ == 0 || reading_ + size <= kBytesAtATime);
    };
    mutex_.Await(absl::Condition(&may_read));
    ++turn_;
    reading_ += size;
    ++running_;
  }

  mutable absl::Mutex mutex_;
  uint64_t tickets_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t turn_ ABSL_GUARDED_BY(mutex_) = 0;   // whose ticket is next
  size_t reading_ ABSL_GUARDED_BY(mutex_) = 0;  // bytes
  size_t running_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<AsyncReader>> MakeAsyncReader(AsyncIo io) {
  if (io != AsyncIo::kThreads) {
    auto ring = MakeUringReader();
    if (ring.ok() || io == AsyncIo::kUring) return ring;
  }
  return std::make_unique<BlockingReader>();
}

}  // namespace kvstore
