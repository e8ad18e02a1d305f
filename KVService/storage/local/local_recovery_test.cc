// What the local store makes of the directory that a crash, or damage, left.
#include <atomic>
#include <fstream>
#include <future>

#include "KVService/storage/local/fault_file_system.h"
#include "KVService/storage/local/local_store_testing.h"

namespace kvstore::testing {
namespace {

namespace fs = std::filesystem;

// What a killed process leaves: the files as they are, and nobody's lock on them.
void CopyAsIfCrashed(const std::string& from, const std::string& to) {
  fs::copy(from, to, fs::copy_options::recursive | fs::copy_options::overwrite_existing);
}

TEST(LocalRecoveryTest, EverythingIsThereAfterARestart) {
  TempDir directory;
  for (int round = 0; round < 3; ++round) {
    auto store = OpenStore(TestOptions(directory.path()));
    EXPECT_EQ(store->recovery().records, round * 20);
    EXPECT_EQ(store->recovery().tail_bytes_cut, 0);
    for (int i = 0; i < 20; ++i) {
      const int n = round * 20 + i;
      ASSERT_TRUE(PutNow(*store, Id(std::to_string(n)), MakeBlob(5000, n, "attr")).ok());
    }
    EXPECT_TRUE(store->Close().ok());
  }
  auto store = OpenStore(TestOptions(directory.path()));
  EXPECT_EQ(store->Usage().blobs, 60);
  EXPECT_EQ(store->Usage().used_bytes, 60 * 8192);
  for (int n = 0; n < 60; ++n) {
    EXPECT_TRUE(Holds(*store, Id(std::to_string(n)), MakeBlob(5000, n, "attr")));
  }
}

TEST(LocalRecoveryTest, ACrashAtAnySyncLosesNothingAcknowledged) {
  TempDir directory, copies;
  FaultFileSystem files;
  std::atomic<int> acknowledged = 0;
  std::vector<std::pair<std::string, int>> crashes;  // with how many puts it must have kept
  files.SetHook([&](FileCall call, const std::string&) {
    if (call == FileCall::kSync && crashes.size() < 5) {
      const std::string copy = copies.path() + "/" + std::to_string(crashes.size());
      crashes.emplace_back(copy, acknowledged.load());
      CopyAsIfCrashed(directory.path(), copy);
    }
    return absl::OkStatus();
  });
  LocalOptions options = TestOptions(directory.path());
  options.files = &files;
  auto store = OpenStore(options);
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(PutNow(*store, Id(std::to_string(i)), MakeBlob(300000, i)).ok());
    ++acknowledged;
  }
  store.reset();
  ASSERT_EQ(crashes.size(), 5);
  for (const auto& [copy, kept] : crashes) {
    auto reopened = OpenStore(TestOptions(copy));
    // The put that was being synced lies in the segment and in no metadata.
    EXPECT_EQ(reopened->Usage().blobs, kept);
    EXPECT_GT(reopened->recovery().tail_bytes_cut, 0);
    for (int i = 0; i < kept; ++i) {
      EXPECT_TRUE(Holds(*reopened, Id(std::to_string(i)), MakeBlob(300000, i)));
    }
    EXPECT_TRUE(absl::IsNotFound(GetNow(*reopened, Id(std::to_string(kept))).status()));
    EXPECT_TRUE(PutNow(*reopened, Id(std::to_string(kept)), MakeBlob(300000, kept)).ok());
  }
}

TEST(LocalRecoveryTest, AGarbledTailIsCut) {
  TempDir directory;
  auto store = OpenStore(TestOptions(directory.path()));
  ASSERT_TRUE(PutNow(*store, Id("a"), MakeBlob(5000, 1)).ok());
  store.reset();
  const std::string segment = SegmentFiles(directory.path()).at(0);
  ASSERT_EQ(fs::file_size(segment), 8192);
  std::ofstream(segment, std::ios::app | std::ios::binary) << std::string(100000, 'x');
  std::ofstream(directory.path() + "/segments/000009.seg") << "never indexed";
  std::ofstream(directory.path() + "/segments/note.txt") << "not ours";
  store = OpenStore(TestOptions(directory.path()));
  EXPECT_EQ(store->recovery().tail_bytes_cut, 100000 + 13);
  EXPECT_EQ(fs::file_size(segment), 8192);
  EXPECT_FALSE(fs::exists(directory.path() + "/segments/000009.seg"));
  EXPECT_TRUE(fs::exists(directory.path() + "/segments/note.txt"));
  EXPECT_TRUE(Holds(*store, Id("a"), MakeBlob(5000, 1)));
  ASSERT_TRUE(PutNow(*store, Id("b"), MakeBlob(5000, 2)).ok());
  EXPECT_TRUE(fs::exists(directory.path() + "/segments/000010.seg"));
}

TEST(LocalRecoveryTest, MetadataWithoutItsPayloadIsDropped) {
  TempDir directory;
  auto store = OpenStore(TestOptions(directory.path()));
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(PutNow(*store, Id(std::to_string(i)), MakeBlob(3 << 20, i)).ok());  // two a segment
  }
  store.reset();
  const std::vector<std::string> segments = SegmentFiles(directory.path());
  ASSERT_EQ(segments.size(), 2);
  fs::resize_file(segments[0], fs::file_size(segments[0]) - 4096);  // too short for record 1
  fs::remove(segments[1]);
  store = OpenStore(TestOptions(directory.path()));
  EXPECT_EQ(store->recovery().dangling_dropped, 3);
  EXPECT_EQ(store->recovery().records, 1);
  EXPECT_TRUE(Holds(*store, Id("0"), MakeBlob(3 << 20, 0)));
  for (int i = 1; i < 4; ++i) {
    EXPECT_TRUE(absl::IsNotFound(GetNow(*store, Id(std::to_string(i))).status()));
    EXPECT_TRUE(PutNow(*store, Id(std::to_string(i)), MakeBlob(100, i)).ok());
  }
}

TEST(LocalRecoveryTest, HolesThatACrashLeftUnpunchedAreFreed) {
  TempDir directory, copy;
  FaultFileSystem files;
  LocalOptions options = TestOptions(directory.path());
  options.files = &files;
  auto store = OpenStore(options);
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(PutNow(*store, Id(std::to_string(i)), MakeBlob(1 << 20, i)).ok());
  }
  files.Fail(FileCall::kPunch, absl::UnavailableError("crashed before"));
  for (int i = 1; i < 4; ++i) ASSERT_TRUE(DeleteNow(*store, Id(std::to_string(i))).ok());
  store.reset();
  const uint64_t before = AllocatedBytes(directory.path());
  store = OpenStore(TestOptions(directory.path()));
  EXPECT_LE(AllocatedBytes(directory.path()), before - (3 << 20) + 8192);
  EXPECT_TRUE(Holds(*store, Id("0"), MakeBlob(1 << 20, 0)));
  EXPECT_TRUE(Holds(*store, Id("4"), MakeBlob(1 << 20, 4)));
}

TEST(LocalRecoveryTest, NoFlippedBitEverGivesWrongBytes) {
  TempDir directory;
  const Blob blob = MakeBlob(6000, 1, "attributes");
  auto store = OpenStore(TestOptions(directory.path()));
  ASSERT_TRUE(PutNow(*store, Id("a"), blob).ok());
  const std::string segment = SegmentFiles(directory.path()).at(0);
  std::fstream file(segment, std::ios::in | std::ios::out | std::ios::binary);
  // Each byte of the header, key and attributes, and some of the data.
  const int head = 40 + std::string("account/container/a").size() + 10;
  for (int at = 0; at < head + 6000; at += at < head ? 1 : 97) {
    file.seekg(at);
    const char was = static_cast<char>(file.get());
    file.seekp(at);
    file.put(static_cast<char>(was ^ (1 << (at % 8)))).flush();
    EXPECT_TRUE(absl::IsDataLoss(GetNow(*store, Id("a")).status())) << "byte " << at;
    file.seekp(at);
    file.put(was).flush();
  }
  EXPECT_TRUE(Holds(*store, Id("a"), blob));
}

TEST(LocalRecoveryTest, ReopensAHundredThousandRecords) {
  TempDir directory;
  constexpr int kRecords = 100000;
  const Blob blob = MakeBlob(64, 7, "attributes");
  LocalOptions options = TestOptions(directory.path(), Durability::kNone);
  options.max_pending = kRecords;
  options.segment_bytes = 256 << 20;
  auto store = OpenStore(options);
  std::atomic<int> ok = 0;
  for (int i = 0; i < kRecords; ++i) {
    store->Put(Id("partition-digest-of-64-bytes/" + std::to_string(i)), blob,
               absl::InfiniteFuture(), [&ok](absl::Status status) { ok += status.ok(); });
  }
  ASSERT_TRUE(store->Close().ok());
  ASSERT_EQ(ok, kRecords);
  store = OpenStore(options);
  std::printf("reopened %d records in %ld ms\n", kRecords,
              static_cast<long>(store->recovery().milliseconds));
  EXPECT_EQ(store->recovery().records, kRecords);
  EXPECT_EQ(store->Usage().used_bytes, uint64_t{kRecords} * 4096);
  EXPECT_TRUE(Holds(*store, Id("partition-digest-of-64-bytes/77777"), blob));
}

}  // namespace
}  // namespace kvstore::testing
