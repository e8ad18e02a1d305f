// What only the local store does; the contract is tested in local_contract_test.cc.
#include "KVService/storage/local/local_blob_store.h"

#include <unistd.h>

#include <fstream>

#include "KVService/storage/local/local_store_testing.h"

namespace kvstore::testing {
namespace {

TEST(LocalBlobStoreTest, ASecondOpenerIsRefusedByName) {
  TempDir directory;
  auto store = OpenStore(TestOptions(directory.path()));
  const absl::Status second = LocalBlobStore::Open(TestOptions(directory.path())).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(second));
  const std::string message(second.message());
  EXPECT_NE(message.find(directory.path()), std::string::npos) << message;
  EXPECT_NE(message.find(std::to_string(::getpid())), std::string::npos) << message;
  ASSERT_TRUE(PutNow(*store, Id("a"), MakeBlob(10, 1)).ok());
  store.reset();
  EXPECT_TRUE(Holds(*OpenStore(TestOptions(directory.path())), Id("a"), MakeBlob(10, 1)));
}

TEST(LocalBlobStoreTest, AnUnknownFormatIsRefused) {
  TempDir directory;
  std::ofstream(directory.path() + "/FORMAT") << "kvstore-local 99\n";
  const absl::Status status = LocalBlobStore::Open(TestOptions(directory.path())).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_NE(std::string(status.message()).find("kvstore-local 99"), std::string::npos);
}

TEST(LocalBlobStoreTest, AnUnmarkedDirectoryWithOurNamesIsLeftAlone) {
  TempDir directory;
  std::filesystem::create_directory(directory.path() + "/segments");
  std::ofstream(directory.path() + "/segments/000001.seg") << "somebody's";
  EXPECT_TRUE(
      absl::IsFailedPrecondition(LocalBlobStore::Open(TestOptions(directory.path())).status()));
  EXPECT_TRUE(std::filesystem::exists(directory.path() + "/segments/000001.seg"));
}

TEST(LocalBlobStoreTest, RefusesOptionsThatCannotWork) {
  EXPECT_TRUE(absl::IsInvalidArgument(LocalBlobStore::Open(LocalOptions()).status()));
  TempDir directory;
  LocalOptions options = TestOptions(directory.path());
  options.write_threads = 0;
  EXPECT_TRUE(absl::IsInvalidArgument(LocalBlobStore::Open(options).status()));
}

TEST(LocalBlobStoreTest, MakesTheDirectoryAndItsParents) {
  TempDir directory;
  auto store = OpenStore(TestOptions(directory.path() + "/a/b/c"));
  EXPECT_TRUE(PutNow(*store, Id("a"), MakeBlob(10, 1)).ok());
}

TEST(LocalBlobStoreTest, DeletingFreesTheDisk) {
  TempDir directory;
  LocalOptions options = TestOptions(directory.path());
  options.recycle_bytes = 0;
  auto store = OpenStore(options);
  constexpr int kBlobs = 40;  // 7 a segment
  for (int i = 0; i < kBlobs; ++i) {
    ASSERT_TRUE(PutNow(*store, Id(std::to_string(i)), MakeBlob(1 << 20, i)).ok());
  }
  EXPECT_EQ(SegmentFiles(directory.path()).size(), 6);
  // One of each segment stays: holes, no file goes.
  for (int i = 0; i < kBlobs; ++i) {
    if (i % 7 == 3) continue;
    ASSERT_TRUE(DeleteNow(*store, Id(std::to_string(i))).ok());
  }
  EXPECT_EQ(SegmentFiles(directory.path()).size(), 6);
  // The last segment keeps what it preallocated and did not write.
  EXPECT_TRUE(Eventually([&] { return AllocatedBytes(directory.path()) < (6 + 8) << 20; }));
  for (int i = 3; i < kBlobs; i += 7) {
    EXPECT_TRUE(Holds(*store, Id(std::to_string(i)), MakeBlob(1 << 20, i)));
    ASSERT_TRUE(DeleteNow(*store, Id(std::to_string(i))).ok());
  }
  EXPECT_TRUE(Eventually([&] { return SegmentFiles(directory.path()).size() == 1; }));
  EXPECT_TRUE(store->Close().ok());
  EXPECT_EQ(SegmentFiles(directory.path()).size(), 0);
}

TEST(LocalBlobStoreTest, ARecordLargerThanASegmentGetsItsOwn) {
  TempDir directory;
  LocalOptions options = TestOptions(directory.path());
  options.recycle_bytes = 0;
  auto store = OpenStore(options);
  ASSERT_TRUE(PutNow(*store, Id("small"), MakeBlob(100, 1)).ok());
  ASSERT_TRUE(PutNow(*store, Id("large"), MakeBlob(20 << 20, 2)).ok());
  ASSERT_TRUE(PutNow(*store, Id("small2"), MakeBlob(100, 3)).ok());
  EXPECT_EQ(SegmentFiles(directory.path()).size(), 2);
  EXPECT_TRUE(Holds(*store, Id("large"), MakeBlob(20 << 20, 2)));
  ASSERT_TRUE(DeleteNow(*store, Id("large")).ok());
  EXPECT_TRUE(Eventually([&] { return SegmentFiles(directory.path()).size() == 1; }));
  EXPECT_TRUE(Holds(*store, Id("small2"), MakeBlob(100, 3)));
}

TEST(LocalBlobStoreTest, CloseFromACallbackIsRefusedAndDoesNotHang) {
  for (Durability durability : {Durability::kNone, Durability::kBatch, Durability::kEach}) {
    TempDir directory;
    auto store = OpenStore(TestOptions(directory.path(), durability));
    std::promise<absl::Status> closed;
    store->Put(Id("a"), MakeBlob(10, 1), absl::InfiniteFuture(),
               [&](absl::Status) { closed.set_value(store->Close()); });
    EXPECT_TRUE(absl::IsFailedPrecondition(closed.get_future().get()));
    EXPECT_TRUE(Holds(*store, Id("a"), MakeBlob(10, 1)));
    EXPECT_TRUE(store->Close().ok());
  }
}

}  // namespace
}  // namespace kvstore::testing
