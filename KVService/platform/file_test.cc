#include "KVService/platform/file.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "KVService/platform/temp_dir.h"

namespace kvstore {
namespace {

using testing::TempDir;

TEST(FileTest, WritesPartsInOrderAndReadsThemBack) {
  TempDir directory;
  auto file = RealFileSystem()->Open(directory.path() + "/a", FileMode::kCreate);
  ASSERT_TRUE(file.ok());
  // More parts than one system call takes, empty ones among them.
  std::string expected;
  std::vector<std::string> texts;
  for (int i = 0; i < 40; ++i) texts.push_back(std::string(i % 3 == 0 ? 0 : i * 100, 'a' + i % 26));
  std::vector<ByteView> parts;
  for (const std::string& text : texts) {
    parts.push_back(AsBytes(text));
    expected += text;
  }
  ASSERT_TRUE((*file)->WriteAt(10, parts).ok());
  EXPECT_TRUE((*file)->DataSync().ok());
  std::string read(expected.size(), '\0');
  ASSERT_TRUE((*file)->ReadAt(10, std::as_writable_bytes(std::span(read))).ok());
  EXPECT_EQ(read, expected);
  EXPECT_EQ((*file)->Size()->size, 10 + expected.size());
  const absl::Status beyond = (*file)->ReadAt(11, std::as_writable_bytes(std::span(read)));
  EXPECT_TRUE(absl::IsOutOfRange(beyond));
}

TEST(FileTest, PreallocatesPunchesAndTruncates) {
  TempDir directory;
  auto file = RealFileSystem()->Open(directory.path() + "/a", FileMode::kCreate);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE((*file)->Preallocate(1 << 20).ok());
  EXPECT_EQ((*file)->Size()->size, 1 << 20);
  const std::string text(1 << 20, 'x');
  const ByteView parts[] = {AsBytes(text)};
  ASSERT_TRUE((*file)->WriteAt(0, parts).ok());
  const absl::Status punched = (*file)->PunchHole(4096, 512 << 10);
  if (absl::IsUnimplemented(punched)) GTEST_SKIP() << "this file system has no holes";
  ASSERT_TRUE(punched.ok());
  EXPECT_LE((*file)->Size()->allocated_bytes, (512 << 10) + 8192);
  EXPECT_EQ((*file)->Size()->size, 1 << 20);
  char byte = 'y';
  ASSERT_TRUE((*file)->ReadAt(4096, std::as_writable_bytes(std::span(&byte, 1))).ok());
  EXPECT_EQ(byte, 0);
  ASSERT_TRUE((*file)->Truncate(100).ok());
  EXPECT_EQ((*file)->Size()->size, 100);
}

TEST(FileTest, ReadsDirectlyWhereItCan) {
  TempDir directory;
  const std::string path = directory.path() + "/a";
  const std::string text(8192, 'x');
  ASSERT_TRUE(WriteSmallFile(RealFileSystem(), directory.path(), "a", text).ok());
  auto file = RealFileSystem()->Open(path, FileMode::kReadDirect);
  if (absl::IsInvalidArgument(file.status())) GTEST_SKIP() << "no direct reads here";
  ASSERT_TRUE(file.ok()) << file.status();
  Buffer buffer = Buffer::AllocateForDirectIo(4096);
  ASSERT_TRUE((*file)->ReadAt(4096, buffer.bytes()).ok());
  EXPECT_EQ(std::memcmp(buffer.data(), text.data(), 4096), 0);
}

TEST(FileTest, KnowsWhatThePageCacheHas) {
  TempDir directory;
  auto file = RealFileSystem()->Open(directory.path() + "/a", FileMode::kCreate);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE((*file)->Preallocate(1 << 20).ok());
  const std::string text(256 << 10, 'x');
  const ByteView parts[] = {AsBytes(text)};
  ASSERT_TRUE((*file)->WriteAt(4096, parts).ok());
  if (!(*file)->IsCached(4096, text.size())) GTEST_SKIP() << "this system does not say";
  EXPECT_TRUE((*file)->IsCached(8192, 4096));
  EXPECT_FALSE((*file)->IsCached(512 << 10, 256 << 10));
  EXPECT_FALSE((*file)->IsCached(128 << 10, 256 << 10));
  // Asking again and again does not bring it there.
  EXPECT_FALSE((*file)->IsCached(512 << 10, 256 << 10));
}

TEST(FileTest, ErrorsNameThePathAndTheReason) {
  TempDir directory;
  FileSystem* const files = RealFileSystem();
  const std::string path = directory.path() + "/absent";
  const absl::Status missing = files->Open(path, FileMode::kReadWrite).status();
  EXPECT_TRUE(absl::IsNotFound(missing));
  EXPECT_NE(std::string(missing.message()).find(path + ": No such file"), std::string::npos);
  EXPECT_TRUE(absl::IsNotFound(files->Remove(path)));
  EXPECT_TRUE(absl::IsNotFound(files->ListDirectory(path).status()));
  ASSERT_TRUE(WriteSmallFile(files, directory.path(), "a", "text").ok());
  EXPECT_TRUE(
      absl::IsAlreadyExists(files->Open(directory.path() + "/a", FileMode::kCreate).status()));
}

TEST(FileTest, SmallFilesAreReplacedWhole) {
  TempDir directory;
  FileSystem* const files = RealFileSystem();
  for (const char* content : {"first", "", "second, longer"}) {
    ASSERT_TRUE(WriteSmallFile(files, directory.path(), "a", content).ok());
    EXPECT_EQ(*ReadSmallFile(files, directory.path() + "/a", 100), content);
  }
  EXPECT_TRUE(absl::IsDataLoss(ReadSmallFile(files, directory.path() + "/a", 3).status()));
  EXPECT_EQ(files->ListDirectory(directory.path())->size(), 1);
}

TEST(FileTest, ALockKeepsOthersOutUntilItGoes) {
  TempDir directory;
  FileSystem* const files = RealFileSystem();
  auto first = files->LockDirectory(directory.path());
  ASSERT_TRUE(first.ok());
  const absl::Status second = files->LockDirectory(directory.path()).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(second));
  EXPECT_NE(std::string(second.message()).find(directory.path()), std::string::npos);
  first->reset();
  EXPECT_TRUE(files->LockDirectory(directory.path()).ok());
}

}  // namespace
}  // namespace kvstore
