// The scrubber: what rots at rest is found though nobody asks for it, at a rate, and what changes
// meanwhile is not taken for damage.
#include <atomic>
#include <fstream>
#include <set>

#include "KVService/storage/local/fault_file_system.h"
#include "KVService/storage/local/local_store_testing.h"
#include "KVService/storage/local/scrubber.h"
#include "absl/synchronization/notification.h"

namespace kvstore::testing {
namespace {

using local::Pacer;

TEST(PacerTest, KeepsToItsRateAndMakesUpForNothing) {
  constexpr uint64_t kRate = 1000;
  Pacer pacer(kRate);
  absl::Time now = absl::UnixEpoch();
  EXPECT_EQ(pacer.Take(500, now), absl::ZeroDuration());
  // Half a second for what was taken; a wait that was cut short is owed.
  EXPECT_EQ(pacer.Take(2000, now + absl::Milliseconds(100)), absl::Milliseconds(400));
  now += absl::Milliseconds(500);
  EXPECT_EQ(pacer.Take(1, now), absl::Seconds(2));
  // An idle hour is no credit.
  now += absl::Hours(1);
  EXPECT_EQ(pacer.Take(5000, now), absl::ZeroDuration());
  EXPECT_EQ(pacer.Take(1, now), absl::Seconds(5));
}

// Time that goes by only when the scrubber sleeps; it stops the scrubber after so many passes.
class FakeTime {
 public:
  explicit FakeTime(uint64_t passes = 1) : passes_left_(passes) {}

  ScrubOptions Options(uint64_t rate, std::function<void(const BlobId&)> damaged = {}) {
    ScrubOptions scrub;
    scrub.bytes_per_second = rate;
    scrub.damaged = std::move(damaged);
    scrub.now = [this] { return absl::UnixEpoch() + elapsed_.load(); };
    scrub.sleep = [this](absl::Duration duration) {
      // The pause behind a pass.
      if (duration == absl::Seconds(10) && --passes_left_ == 0) {
        done_.Notify();
        return false;
      }
      elapsed_ = elapsed_.load() + duration;
      return passes_left_ > 0;
    };
    return scrub;
  }
  // Of the passes; without the pauses between them.
  absl::Duration Wait() {
    done_.WaitForNotification();
    return elapsed_;
  }

 private:
  std::atomic<uint64_t> passes_left_;
  std::atomic<absl::Duration> elapsed_ = absl::ZeroDuration();
  absl::Notification done_;
};

void Flip(const std::string& path, uint64_t at) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(at));
  const char was = static_cast<char>(file.get());
  file.seekp(static_cast<std::streamoff>(at));
  file.put(static_cast<char>(was ^ 4));
}

class LocalScrubTest : public ::testing::Test {
 protected:
  void Open(Durability durability = Durability::kBatch) {
    LocalOptions options = TestOptions(directory_.path(), durability);
    options.files = &files_;
    store_ = OpenStore(std::move(options));
    ASSERT_NE(store_, nullptr);
  }
  // "0", "1" …, 8 KiB of footprint each, one behind the other.
  void Put(int count) {
    for (int i = 0; i < count; ++i) {
      ASSERT_TRUE(PutNow(*store_, Id(std::to_string(i)), MakeBlob(5000, i)).ok());
    }
  }
  std::set<std::string> Scrub() {
    std::set<std::string> damaged;
    FakeTime time;
    store_->StartScrub(time.Options(1 << 30, [&](const BlobId& id) { damaged.insert(id.name); }));
    time.Wait();
    return damaged;
  }

  TempDir directory_;
  FaultFileSystem files_;
  std::unique_ptr<LocalBlobStore> store_;
};

TEST_F(LocalScrubTest, FindsRotInEveryPartAndNothingElse) {
  Open();
  Put(8);
  const std::string segment = SegmentFiles(directory_.path()).at(0);
  Flip(segment, 1 * 8192);         // magic
  Flip(segment, 2 * 8192 + 45);    // key
  Flip(segment, 3 * 8192 + 4000);  // data
  Flip(segment, 4 * 8192 + 8191);  // padding: nobody's
  EXPECT_EQ(Scrub(), (std::set<std::string>{"1", "2", "3"}));
  EXPECT_EQ(store_->scrub_stats().errors, 3);
  EXPECT_EQ(store_->scrub_stats().bytes, 8 * 8192);
  EXPECT_EQ(store_->scrub_stats().passes, 1);
}

TEST_F(LocalScrubTest, KeepsToItsRate) {
  Open();
  Put(10);
  FakeTime time;
  store_->StartScrub(time.Options(8192));
  // One record a second; the first one begins at once.
  EXPECT_EQ(time.Wait(), absl::Seconds(9));
}

TEST_F(LocalScrubTest, LostSectorsAreDamage) {
  Open();
  Put(4);
  files_.LoseSectors("000001.seg", 2 * 8192 + 4096, 512);
  EXPECT_EQ(Scrub(), (std::set<std::string>{"2"}));
}

TEST_F(LocalScrubTest, ADeviceThatIsAwayIsNoDamage) {
  Open();
  Put(4);
  files_.Fail(FileCall::kRead, absl::UnavailableError("read: Input/output error"));
  EXPECT_EQ(Scrub(), std::set<std::string>());
  EXPECT_EQ(store_->scrub_stats().errors, 1);  // and then it waits
}

// Between the scrubber's look at the metadata and its read the record goes, and another comes where
// it was; then the first comes back to that very place.
TEST_F(LocalScrubTest, WhatIsReplacedMeanwhileIsNoDamage) {
  for (const bool comes_back : {false, true}) {
    store_.reset();
    std::filesystem::remove_all(directory_.path());
    Open(Durability::kNone);
    Put(3);
    std::atomic<int> reads = 0, ends = 0;
    const auto replace = [&](const char* name, const char* by, uint64_t seed) {
      EXPECT_TRUE(DeleteNow(*store_, Id(name)).ok());
      EXPECT_TRUE(PutNow(*store_, Id(by), MakeBlob(5000, seed)).ok());
    };
    files_.SetHook([&](FileCall call, const std::string&) {
      if (call == FileCall::kRead && reads++ == 1) replace("1", "x", 7);
      if (call == FileCall::kReadDone && ends++ == 1 && comes_back) replace("x", "1", 1);
      return absl::OkStatus();
    });
    EXPECT_EQ(Scrub(), std::set<std::string>());
    EXPECT_GT(ends, 1);
    EXPECT_EQ(store_->scrub_stats().errors, 0);
    files_.Heal();
    EXPECT_TRUE(Holds(*store_, Id(comes_back ? "1" : "x"), MakeBlob(5000, comes_back ? 1 : 7)));
    store_.reset();
  }
}

TEST_F(LocalScrubTest, GoesOnAfterARestartWhereItWas) {
  Open();
  Put(8);
  const std::string segment = SegmentFiles(directory_.path()).at(0);
  Flip(segment, 1 * 8192);
  Flip(segment, 6 * 8192);
  std::set<std::string> damaged;
  const auto collect = [&](const BlobId& id) { damaged.insert(id.name); };
  ScrubOptions scrub;
  scrub.bytes_per_second = 8192;
  scrub.damaged = collect;
  std::atomic<int> sleeps = 0;
  absl::Notification four;
  scrub.sleep = [&](absl::Duration) {
    if (sleeps++ < 4) return true;
    if (!four.HasBeenNotified()) four.Notify();
    return false;
  };
  store_->StartScrub(std::move(scrub));
  four.WaitForNotification();
  ASSERT_TRUE(store_->Close().ok());
  EXPECT_EQ(damaged, (std::set<std::string>{"1"}));
  damaged.clear();
  Open();
  EXPECT_EQ(Scrub(), (std::set<std::string>{"6"}));
  EXPECT_EQ(store_->scrub_stats().bytes, 4 * 8192);
}

TEST_F(LocalScrubTest, CloseDoesNotWaitForItsRate) {
  Open();
  Put(2);
  ScrubOptions scrub;
  scrub.bytes_per_second = 1;  // the second record's turn comes in hours
  store_->StartScrub(std::move(scrub));
  EXPECT_TRUE(Eventually([&] { return store_->scrub_stats().bytes > 0; }));
  EXPECT_TRUE(store_->Close().ok());
}

TEST_F(LocalScrubTest, ChecksAllOnceWhenAsked) {
  Open();
  Put(8);
  Flip(SegmentFiles(directory_.path()).at(0), 3 * 8192);
  std::set<std::string> damaged;
  ScrubOptions scrub;
  scrub.damaged = [&](const BlobId& id) { damaged.insert(id.name); };
  ScrubStats last;
  int told = 0;
  EXPECT_TRUE(store_
                  ->CheckAll(scrub,
                             [&](const ScrubStats& stats) {
                               ++told;
                               last = stats;
                               return true;
                             })
                  .ok());
  EXPECT_EQ(damaged, (std::set<std::string>{"3"}));
  EXPECT_EQ(last.records, 8);
  EXPECT_EQ(last.bytes, 8 * 8192);
  EXPECT_EQ(last.errors, 1);
  EXPECT_EQ(told, 8);
  told = 0;
  EXPECT_TRUE(store_->CheckAll(scrub, [&](const ScrubStats&) { return ++told < 2; }).ok());
  EXPECT_EQ(told, 2) << "it goes on though it was told not to";
}

TEST_F(LocalScrubTest, CloseEndsACheckThatWaitsForItsRate) {
  Open();
  Put(2);
  ScrubOptions scrub;
  scrub.bytes_per_second = 1;
  absl::Notification begun;
  std::thread checker([&] {
    EXPECT_TRUE(store_
                    ->CheckAll(scrub,
                               [&](const ScrubStats&) {
                                 if (!begun.HasBeenNotified()) begun.Notify();
                                 return true;
                               })
                    .ok());
  });
  begun.WaitForNotification();
  EXPECT_TRUE(store_->Close().ok());
  checker.join();
  EXPECT_TRUE(absl::IsUnavailable(store_->CheckAll(scrub, [](auto&) { return true; })));
}

}  // namespace
}  // namespace kvstore::testing
