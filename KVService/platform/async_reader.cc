#include "KVService/platform/async_reader.h"

#include <utility>

#include "KVService/platform/uring_reader.h"

namespace kvstore {
namespace {

class BlockingReader : public AsyncReader {
 public:
  void Read(File& file, uint64_t offset, std::span<std::byte> into,
            absl::AnyInvocable<void(absl::Status) &&> done) override {
    std::move(done)(file.ReadAt(offset, into));
  }
  void Shutdown() override {}
  const char* name() const override { return "threads"; }
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
