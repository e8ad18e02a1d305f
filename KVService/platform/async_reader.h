// Reads of files without a thread waiting in each: by the kernel's io_uring where it is there, else
// by the caller's own thread.
#ifndef KVSERVICE_PLATFORM_ASYNC_READER_H_
#define KVSERVICE_PLATFORM_ASYNC_READER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "KVService/platform/file.h"
#include "KVService/platform/queue_load.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace kvstore {

enum class AsyncIo {
  kAuto,     // io_uring if the system lets us have one
  kUring,    // io_uring or an error
  kThreads,  // every read on the thread that asks for it
};

// Thread-safe. Bounded by its callers: what is beyond what the disk has at a time waits in a queue
// of ours, in order.
class AsyncReader {
 public:
  // What a disk is asked for at a time, but for one read that is larger: about what keeps it busy.
  // All that it has it reads at once, and ends at once: with more, the network would first wait for
  // the disk and then the disk for the network.
  static constexpr size_t kBytesAtATime = size_t{4} << 20;

  // As Shutdown.
  virtual ~AsyncReader() = default;

  // As File::ReadAt. `done` runs exactly once: on the reader's thread, where it must not block, or
  // before the call returns. File and memory outlive it. REQUIRES: not after Shutdown.
  virtual void Read(File& file, uint64_t offset, std::span<std::byte> into,
                    absl::AnyInvocable<void(absl::Status) &&> done) = 0;

  // Waits until everything asked for is read and every `done` has returned. Idempotent, from one
  // thread at a time. REQUIRES: not from a `done`.
  virtual void Shutdown() = 0;

  // Of reads; the disk has those that run. Thread-safe.
  virtual QueueLoad load() const = 0;

  // For the log: "io_uring" or "threads".
  virtual const char* name() const = 0;
};

// FAILED_PRECONDITION, with the system's reason, where kUring cannot be.
absl::StatusOr<std::unique_ptr<AsyncReader>> MakeAsyncReader(AsyncIo io);

}  // namespace kvstore

#endif  // KVSERVICE_PLATFORM_ASYNC_READER_H_
