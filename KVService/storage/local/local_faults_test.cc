// The local store on a device that fails.
#include <atomic>
#include <future>

#include "KVService/storage/local/fault_file_system.h"
#include "KVService/storage/local/local_store_testing.h"

namespace kvstore::testing {
namespace {

class LocalFaultsTest : public ::testing::TestWithParam<Durability> {
 protected:
  void SetUp() override { Open(); }
  void Open() {
    store_.reset();
    LocalOptions options = TestOptions(directory_.path(), GetParam());
    options.files = &files_;
    options.write_threads = 4;
    options.recycle_bytes = recycle_bytes_;
    store_ = OpenStore(std::move(options));
    ASSERT_NE(store_, nullptr);
  }
  size_t SegmentCount() const { return SegmentFiles(directory_.path()).size(); }

  TempDir directory_;
  std::optional<uint64_t> recycle_bytes_;
  FaultFileSystem files_;
  std::unique_ptr<LocalBlobStore> store_;
};

TEST_P(LocalFaultsTest, AFullDiskRefusesAndTheStoreGoesOn) {
  ASSERT_TRUE(PutNow(*store_, Id("before"), MakeBlob(5000, 1)).ok());
  for (FileCall call : {FileCall::kWrite, FileCall::kPreallocate}) {
    files_.Fail(call, absl::ResourceExhaustedError("No space left on device"));
    // Larger than a segment, so that it has to preallocate one.
    const absl::Status status = PutNow(*store_, Id("full"), MakeBlob(9 << 20, 2));
    EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
    EXPECT_TRUE(absl::IsNotFound(GetNow(*store_, Id("full")).status()));
    EXPECT_EQ(store_->Usage().blobs, 1);
    files_.Heal();
  }
  EXPECT_TRUE(Holds(*store_, Id("before"), MakeBlob(5000, 1)));
  ASSERT_TRUE(PutNow(*store_, Id("full"), MakeBlob(9 << 20, 3)).ok());
  Open();
  EXPECT_TRUE(Holds(*store_, Id("full"), MakeBlob(9 << 20, 3)));
  EXPECT_EQ(store_->recovery().records, 2);
}

TEST_P(LocalFaultsTest, AFailedWriteFailsItsPutAndSealsTheSegment) {
  ASSERT_TRUE(PutNow(*store_, Id("before"), MakeBlob(5000, 1)).ok());
  files_.Fail(FileCall::kWrite, absl::UnavailableError("write 000001.seg: Input/output error"));
  const absl::Status status = PutNow(*store_, Id("a"), MakeBlob(5000, 2));
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_NE(std::string(status.message()).find("000001.seg"), std::string::npos);
  files_.Heal();
  ASSERT_TRUE(PutNow(*store_, Id("a"), MakeBlob(5000, 3)).ok());
  EXPECT_EQ(SegmentCount(), 2);
  EXPECT_TRUE(Holds(*store_, Id("before"), MakeBlob(5000, 1)));
  EXPECT_TRUE(Holds(*store_, Id("a"), MakeBlob(5000, 3)));
}

TEST_P(LocalFaultsTest, AFailedReadIsUnavailableAndNoLoss) {
  ASSERT_TRUE(PutNow(*store_, Id("a"), MakeBlob(5000, 1)).ok());
  files_.Fail(FileCall::kRead, absl::UnavailableError("read: Input/output error"));
  EXPECT_TRUE(absl::IsUnavailable(GetNow(*store_, Id("a")).status()));
  files_.Heal();
  EXPECT_TRUE(Holds(*store_, Id("a"), MakeBlob(5000, 1)));
}

TEST_P(LocalFaultsTest, SectorsThatAreLostAreALossAndTheNextPutHeals) {
  for (const char* name : {"a", "b", "c"}) {
    ASSERT_TRUE(PutNow(*store_, Id(name), MakeBlob(5000, 1)).ok());
  }
  for (const uint64_t place : {8192, 0}) {  // the first record of a segment too
    files_.LoseSectors("000001.seg", place + 4096, 512);
    const BlobId id = Id(place == 0 ? "a" : "b");
    EXPECT_TRUE(absl::IsDataLoss(GetNow(*store_, id).status()));
    EXPECT_TRUE(Holds(*store_, Id("c"), MakeBlob(5000, 1)));
    files_.LoseSectors("", 0, 0);
    ASSERT_TRUE(DeleteNow(*store_, id).ok());
    ASSERT_TRUE(PutNow(*store_, id, MakeBlob(5000, 2)).ok());
    EXPECT_TRUE(Holds(*store_, id, MakeBlob(5000, 2)));
  }
}

TEST_P(LocalFaultsTest, AFailedSyncIsNeverTakenForSuccessLater) {
  if (GetParam() == Durability::kNone) GTEST_SKIP() << "does not sync";
  ASSERT_TRUE(PutNow(*store_, Id("before"), MakeBlob(5000, 1)).ok());
  // Once: as the kernel does, which reports a lost page to one fdatasync only.
  std::atomic<int> failed_syncs = 0;
  std::promise<void> all_written;
  std::shared_future<void> written = all_written.get_future().share();
  std::atomic<int> writes = 0;
  constexpr int kPuts = 4;
  files_.SetHook([&, written](FileCall call, const std::string& path) -> absl::Status {
    if (!path.ends_with("000001.seg")) return absl::OkStatus();
    if (call == FileCall::kWrite && ++writes == kPuts) all_written.set_value();
    if (call != FileCall::kSync) return absl::OkStatus();
    written.wait();  // so that all of them lie in the segment whose sync fails
    return failed_syncs++ == 0 ? absl::UnavailableError("fdatasync: Input/output error")
                               : absl::OkStatus();
  });
  std::vector<std::future<absl::Status>> puts;
  for (int i = 0; i < kPuts; ++i) {
    puts.push_back(PutAsync(*store_, Id(std::to_string(i)), MakeBlob(5000, i)));
  }
  for (auto& put : puts) EXPECT_TRUE(absl::IsUnavailable(put.get()));
  files_.Heal();
  for (int i = 0; i < kPuts; ++i) {
    EXPECT_TRUE(absl::IsNotFound(GetNow(*store_, Id(std::to_string(i))).status()));
    EXPECT_TRUE(PutNow(*store_, Id(std::to_string(i)), MakeBlob(5000, i + 10)).ok());
  }
  EXPECT_EQ(SegmentCount(), 2);
  EXPECT_TRUE(Holds(*store_, Id("before"), MakeBlob(5000, 1)));
  EXPECT_EQ(store_->Usage().blobs, kPuts + 1);
}

TEST_P(LocalFaultsTest, WhenTheWinnerFailsALoserWins) {
  std::promise<void> winner_writes, go_on;
  std::atomic<int> writes = 0;
  files_.SetHook([&](FileCall call, const std::string&) -> absl::Status {
    if (call != FileCall::kWrite || writes++ > 0) return absl::OkStatus();
    winner_writes.set_value();
    go_on.get_future().wait();
    return absl::UnavailableError("write: Input/output error");
  });
  auto first = PutAsync(*store_, Id("a"), MakeBlob(5000, 1));
  winner_writes.get_future().wait();
  auto second = PutAsync(*store_, Id("a"), MakeBlob(5000, 2));
  auto third = PutAsync(*store_, Id("a"), MakeBlob(5000, 3));
  EXPECT_EQ(second.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  go_on.set_value();
  EXPECT_TRUE(absl::IsUnavailable(first.get()));
  EXPECT_TRUE(second.get().ok());
  EXPECT_TRUE(absl::IsAlreadyExists(third.get()));
  EXPECT_TRUE(Holds(*store_, Id("a"), MakeBlob(5000, 2)));
}

TEST_P(LocalFaultsTest, ASegmentThatFailedIsNotWrittenOver) {
  for (const char* name : {"a", "b", "c"}) {
    ASSERT_TRUE(PutNow(*store_, Id(name), MakeBlob(5000, 1)).ok());
  }
  ASSERT_TRUE(DeleteNow(*store_, Id("a")).ok());
  ASSERT_TRUE(DeleteNow(*store_, Id("b")).ok());
  ASSERT_TRUE(PutNow(*store_, Id("other size"), MakeBlob(10000, 2)).ok());  // settles the deletions
  std::atomic<int> writes = 0;
  files_.SetHook([&](FileCall call, const std::string& path) -> absl::Status {
    if (call == FileCall::kWrite && path.ends_with("000001.seg")) {
      ++writes;
      return absl::UnavailableError("write: Input/output error");
    }
    return absl::OkStatus();
  });
  EXPECT_TRUE(absl::IsUnavailable(PutNow(*store_, Id("d"), MakeBlob(5000, 3))));
  for (int i = 0; i < 4; ++i) {
    EXPECT_TRUE(PutNow(*store_, Id(std::to_string(i)), MakeBlob(5000, i)).ok());
  }
  // Space of the segment that is freed later is not taken either.
  ASSERT_TRUE(DeleteNow(*store_, Id("c")).ok());
  for (int i = 4; i < 8; ++i) {
    EXPECT_TRUE(PutNow(*store_, Id(std::to_string(i)), MakeBlob(5000, i)).ok());
  }
  EXPECT_EQ(writes, 1);
  files_.Heal();
  for (int i = 0; i < 8; ++i) {
    EXPECT_TRUE(Holds(*store_, Id(std::to_string(i)), MakeBlob(5000, i)));
  }
}

TEST_P(LocalFaultsTest, WithoutHolesAnEmptySealedSegmentStillGoes) {
  recycle_bytes_ = 0;
  Open();
  files_.Fail(FileCall::kPunch, absl::UnimplementedError("punch hole: Operation not supported"));
  for (int i = 0; i < 12; ++i) {  // 8 MiB a segment: 7 in the first
    ASSERT_TRUE(PutNow(*store_, Id(std::to_string(i)), MakeBlob(1 << 20, i)).ok());
  }
  EXPECT_EQ(SegmentCount(), 2);
  for (int i = 0; i < 7; ++i) ASSERT_TRUE(DeleteNow(*store_, Id(std::to_string(i))).ok());
  EXPECT_TRUE(Eventually([&] { return SegmentCount() == 1; }));
  EXPECT_TRUE(Holds(*store_, Id("11"), MakeBlob(1 << 20, 11)));
}

TEST_P(LocalFaultsTest, QueueLimitsRefuseAtOnce) {
  store_.reset();
  LocalOptions options = TestOptions(directory_.path(), GetParam());
  options.files = &files_;
  options.write_threads = 1;
  options.max_pending = 3;
  options.max_pending_put_bytes = 20000;
  store_ = OpenStore(std::move(options));
  std::promise<void> go_on;
  std::shared_future<void> release = go_on.get_future().share();
  files_.SetHook([release](FileCall call, const std::string&) {
    if (call == FileCall::kWrite) release.wait();
    return absl::OkStatus();
  });
  auto first = PutAsync(*store_, Id("a"), MakeBlob(15000, 1));
  auto too_many_bytes = PutAsync(*store_, Id("b"), MakeBlob(15000, 2));
  EXPECT_TRUE(absl::IsResourceExhausted(too_many_bytes.get()));
  auto second = PutAsync(*store_, Id("b"), MakeBlob(1000, 2));
  auto third = PutAsync(*store_, Id("c"), MakeBlob(1000, 3));
  EXPECT_TRUE(absl::IsResourceExhausted(GetNow(*store_, Id("a")).status()));
  EXPECT_TRUE(absl::IsResourceExhausted(PutNow(*store_, Id("d"), MakeBlob(1, 1))));
  go_on.set_value();
  EXPECT_TRUE(first.get().ok());
  EXPECT_TRUE(second.get().ok());
  EXPECT_TRUE(third.get().ok());
}

INSTANTIATE_TEST_SUITE_P(Durabilities, LocalFaultsTest,
                         ::testing::Values(Durability::kNone, Durability::kBatch,
                                           Durability::kEach),
                         [](const auto& info) {
                           return std::string(info.param == Durability::kNone    ? "none"
                                              : info.param == Durability::kBatch ? "batch"
                                                                                 : "each");
                         });

}  // namespace
}  // namespace kvstore::testing
