#include "KVService/platform/async_reader.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <future>
#include <vector>

#include "KVService/platform/temp_dir.h"

namespace kvstore {
namespace {

using testing::TempDir;

constexpr size_t kUnit = Buffer::kDirectAlignment;

class AsyncReaderTest : public ::testing::TestWithParam<AsyncIo> {
 protected:
  void SetUp() override {
    auto reader = MakeAsyncReader(GetParam());
    if (absl::IsFailedPrecondition(reader.status())) GTEST_SKIP() << reader.status();
    ASSERT_TRUE(reader.ok());
    reader_ = *std::move(reader);
    for (size_t i = 0; i < kUnits; ++i) text_.append(kUnit, static_cast<char>('a' + i % 26));
    ASSERT_TRUE(WriteSmallFile(RealFileSystem(), directory_.path(), "a", text_).ok());
    auto file = RealFileSystem()->Open(directory_.path() + "/a", FileMode::kReadWrite);
    ASSERT_TRUE(file.ok());
    file_ = *std::move(file);
  }

  std::future<absl::Status> Read(uint64_t offset, std::span<std::byte> into) {
    auto promise = std::make_shared<std::promise<absl::Status>>();
    reader_->Read(*file_, offset, into,
                  [promise](absl::Status status) { promise->set_value(std::move(status)); });
    return promise->get_future();
  }

  static constexpr size_t kUnits = 300;  // more than the kernel is given at a time
  TempDir directory_;
  std::string text_;
  std::unique_ptr<File> file_;
  std::unique_ptr<AsyncReader> reader_;
};

TEST_P(AsyncReaderTest, ReadsWhatIsThere) {
  Buffer buffer = Buffer::AllocateForDirectIo(2 * kUnit);
  ASSERT_TRUE(Read(3 * kUnit, buffer.bytes()).get().ok());
  EXPECT_EQ(std::memcmp(buffer.data(), text_.data() + 3 * kUnit, 2 * kUnit), 0);
}

TEST_P(AsyncReaderTest, ReadsDirectly) {
  auto file = RealFileSystem()->Open(directory_.path() + "/a", FileMode::kReadDirect);
  if (absl::IsInvalidArgument(file.status())) GTEST_SKIP() << "no direct reads here";
  file_ = *std::move(file);
  Buffer buffer = Buffer::AllocateForDirectIo(2 * kUnit);
  ASSERT_TRUE(Read(3 * kUnit, buffer.bytes()).get().ok());
  EXPECT_EQ(std::memcmp(buffer.data(), text_.data() + 3 * kUnit, 2 * kUnit), 0);
}

TEST_P(AsyncReaderTest, AnyNumberAtATimeFromAnyThread) {
  std::atomic<size_t> right = 0, ended = 0;
  std::vector<std::thread> threads;
  std::vector<Buffer> buffers(4 * kUnits);
  for (size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (size_t i = 0; i < kUnits; ++i) {
        Buffer& buffer = buffers[t * kUnits + i];
        buffer = Buffer::AllocateForDirectIo(kUnit);
        reader_->Read(*file_, i * kUnit, buffer.bytes(), [&, i](absl::Status status) {
          right += status.ok() && std::memcmp(buffer.data(), text_.data() + i * kUnit, kUnit) == 0;
          ++ended;
        });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  reader_->Shutdown();  // with what is under way
  EXPECT_EQ(ended, 4 * kUnits);
  EXPECT_EQ(right, 4 * kUnits);
}

TEST_P(AsyncReaderTest, TheEndOfTheFileIsOutOfRange) {
  Buffer buffer = Buffer::AllocateForDirectIo(2 * kUnit);
  EXPECT_TRUE(absl::IsOutOfRange(Read((kUnits - 1) * kUnit, buffer.bytes()).get()));
  EXPECT_TRUE(absl::IsOutOfRange(Read(kUnits * kUnit, buffer.bytes()).get()));
  EXPECT_TRUE(Read((kUnits - 2) * kUnit, buffer.bytes()).get().ok());
}

TEST_P(AsyncReaderTest, AFileWithoutAHandleIsReadAnyway) {
  class Bytes : public File {
   public:
    absl::Status ReadAt(uint64_t, std::span<std::byte> into) override {
      std::memset(into.data(), 'z', into.size());
      return absl::OkStatus();
    }
    bool IsCached(uint64_t, uint64_t) override { return false; }
    absl::Status WriteAt(uint64_t, std::span<const ByteView>) override { return {}; }
    absl::Status DataSync() override { return {}; }
    absl::Status Preallocate(uint64_t) override { return {}; }
    absl::Status PunchHole(uint64_t, uint64_t) override { return {}; }
    absl::Status Truncate(uint64_t) override { return {}; }
    absl::StatusOr<Extent> Size() override { return Extent(); }
  };
  file_ = std::make_unique<Bytes>();
  std::byte byte{};
  ASSERT_TRUE(Read(0, {&byte, 1}).get().ok());
  EXPECT_EQ(byte, std::byte{'z'});
}

INSTANTIATE_TEST_SUITE_P(Ways, AsyncReaderTest,
                         ::testing::Values(AsyncIo::kAuto, AsyncIo::kUring, AsyncIo::kThreads),
                         [](const auto& info) {
                           return std::string(info.param == AsyncIo::kAuto    ? "auto"
                                              : info.param == AsyncIo::kUring ? "uring"
                                                                              : "threads");
                         });

}  // namespace
}  // namespace kvstore
