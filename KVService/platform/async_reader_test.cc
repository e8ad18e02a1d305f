#include "KVService/platform/async_reader.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <future>
#include <thread>
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
  EXPECT_EQ(reader_->load().waiting, 0u);
  EXPECT_EQ(reader_->load().running, 0u);
}

TEST_P(AsyncReaderTest, TheEndOfTheFileIsOutOfRange) {
  Buffer buffer = Buffer::AllocateForDirectIo(2 * kUnit);
  EXPECT_TRUE(absl::IsOutOfRange(Read((kUnits - 1) * kUnit, buffer.bytes()).get()));
  EXPECT_TRUE(absl::IsOutOfRange(Read(kUnits * kUnit, buffer.bytes()).get()));
  EXPECT_TRUE(Read((kUnits - 2) * kUnit, buffer.bytes()).get().ok());
}

TEST_P(AsyncReaderTest, AReadMayBeLargerThanWhatIsReadAtATime) {
  const size_t size = AsyncReader::kBytesAtATime + kUnit;
  ASSERT_TRUE(file_->Truncate(2 * size).ok());
  Buffer one = Buffer::AllocateForDirectIo(size), other = Buffer::AllocateForDirectIo(size);
  std::future<absl::Status> first = Read(0, one.bytes()), second = Read(kUnit, other.bytes());
  EXPECT_TRUE(first.get().ok());
  EXPECT_TRUE(second.get().ok());
  EXPECT_EQ(std::memcmp(one.data(), text_.data(), text_.size()), 0);
  EXPECT_EQ(std::memcmp(other.data(), text_.data() + kUnit, text_.size() - kUnit), 0);
}

// A file without a handle, which sees how much of it is read at a time.
class Bytes : public File {
 public:
  absl::Status ReadAt(uint64_t, std::span<std::byte> into) override {
    const size_t now = reading_ += into.size();
    for (size_t most = most_; now > most && !most_.compare_exchange_weak(most, now);) continue;
    for (int i = 0; i < 100; ++i) std::this_thread::yield();  // a chance for others to come
    std::memset(into.data(), 'z', into.size());
    reading_ -= into.size();
    return absl::OkStatus();
  }
  bool IsCached(uint64_t, uint64_t) override { return false; }
  absl::Status WriteAt(uint64_t, std::span<const ByteView>) override { return {}; }
  absl::Status DataSync() override { return {}; }
  absl::Status Preallocate(uint64_t) override { return {}; }
  absl::Status PunchHole(uint64_t, uint64_t) override { return {}; }
  absl::Status Truncate(uint64_t) override { return {}; }
  absl::StatusOr<Extent> Size() override { return Extent(); }

  size_t most() const { return most_; }

 private:
  std::atomic<size_t> reading_ = 0, most_ = 0;
};

TEST(AsyncReaderOnThreads, ReadNoMoreAtATimeThanKeepsADiskBusy) {
  const auto reader = *MakeAsyncReader(AsyncIo::kThreads);
  Bytes file;
  constexpr size_t kSize = AsyncReader::kBytesAtATime / 5 * 2;
  std::vector<std::thread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&] {
      Buffer buffer = Buffer::AllocateForDirectIo(kSize);
      for (int i = 0; i < 20; ++i) {
        reader->Read(file, 0, buffer.bytes(),
                     [](absl::Status status) { EXPECT_TRUE(status.ok()); });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(file.most(), 2 * kSize);
}

// A file whose reads wait until they are let go.
class Held : public Bytes {
 public:
  absl::Status ReadAt(uint64_t, std::span<std::byte>) override {
    started_.set_value();
    go_.get_future().wait();
    return absl::OkStatus();
  }
  void AwaitRead() { started_.get_future().wait(); }
  void LetGo() { go_.set_value(); }

 private:
  std::promise<void> started_, go_;
};

TEST(AsyncReaderOnThreads, TellWhatTheDiskHas) {
  const auto reader = *MakeAsyncReader(AsyncIo::kThreads);
  Held file;
  std::thread thread([&] {
    std::byte byte{};
    reader->Read(file, 0, {&byte, 1}, [](absl::Status status) { EXPECT_TRUE(status.ok()); });
  });
  file.AwaitRead();
  EXPECT_EQ(reader->load().running, 1u);
  EXPECT_EQ(reader->load().waiting, 0u);
  file.LetGo();
  thread.join();
  EXPECT_EQ(reader->load().running, 0u);
}

TEST_P(AsyncReaderTest, AFileWithoutAHandleIsReadAnyway) {
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
