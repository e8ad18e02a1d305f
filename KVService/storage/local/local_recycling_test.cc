// Space that deleted records leave is written over; what a crash in between may show.
#include <atomic>
#include <fstream>
#include <map>
#include <optional>

#include "KVService/storage/local/fault_file_system.h"
#include "KVService/storage/local/local_store_testing.h"

namespace kvstore::testing {
namespace {

namespace fs = std::filesystem;

// The name of the record at `offset` of the first segment: it follows the header.
std::string NameAt(const std::string& directory, uint64_t offset) {
  std::ifstream file(SegmentFiles(directory).at(0), std::ios::binary);
  const size_t prefix = 40 + std::string("account/container/").size();
  file.seekg(static_cast<std::streamoff>(offset + prefix));
  return std::string(1, static_cast<char>(file.get()));
}

class LocalRecyclingTest : public ::testing::TestWithParam<Durability> {
 protected:
  void SetUp() override {
    files_.SetHook([this](FileCall call, const std::string&) {
      punched_ += call == FileCall::kPunch;
      return absl::OkStatus();
    });
    Open();
  }
  void Open(std::optional<uint64_t> recycle_bytes = {}) {
    store_.reset();
    LocalOptions options = TestOptions(directory_.path(), GetParam());
    options.files = &files_;
    options.recycle_bytes = recycle_bytes;
    store_ = OpenStore(std::move(options));
    ASSERT_NE(store_, nullptr);
  }

  TempDir directory_;
  std::atomic<int> punched_ = 0;
  FaultFileSystem files_;
  std::unique_ptr<LocalBlobStore> store_;
};

TEST_P(LocalRecyclingTest, ReplacingTakesNoMoreOfTheDisk) {
  constexpr int kLive = 20, kRounds = 5;
  constexpr size_t kSize = 256 << 10;
  for (int i = 0; i < kLive; ++i) {
    ASSERT_TRUE(PutNow(*store_, Id(std::to_string(i)), MakeBlob(kSize, i)).ok());
  }
  for (int i = 0; i < kLive * kRounds; ++i) {
    ASSERT_TRUE(DeleteNow(*store_, Id(std::to_string(i))).ok());
    ASSERT_TRUE(PutNow(*store_, Id(std::to_string(i + kLive)), MakeBlob(kSize, i + kLive)).ok());
  }
  EXPECT_EQ(punched_, 0);
  EXPECT_EQ(SegmentFiles(directory_.path()).size(), 1);  // 31 fit
  Open();
  EXPECT_EQ(store_->recovery().records, kLive);
  EXPECT_EQ(store_->recovery().dangling_dropped, 0);
  for (int i = kLive * kRounds; i < kLive * (kRounds + 1); ++i) {
    EXPECT_TRUE(Holds(*store_, Id(std::to_string(i)), MakeBlob(kSize, i)));
  }
}

TEST_P(LocalRecyclingTest, WhatIsKeptIsBounded) {
  Open(3 << 20);
  for (int i = 0; i < 14; ++i) {
    ASSERT_TRUE(PutNow(*store_, Id(std::to_string(i)), MakeBlob(1 << 20, i)).ok());
  }
  const uint64_t before = AllocatedBytes(directory_.path());
  for (int i = 0; i < 12; ++i) {
    if (i == 6) continue;
    ASSERT_TRUE(DeleteNow(*store_, Id(std::to_string(i))).ok());
  }
  // Of 11: 3 are kept, and up to 3 wait for their deletion to be durable.
  EXPECT_TRUE(Eventually([&] { return AllocatedBytes(directory_.path()) <= before - (5 << 20); }));
  for (int i : {6, 12, 13}) {
    EXPECT_TRUE(Holds(*store_, Id(std::to_string(i)), MakeBlob(1 << 20, i)));
  }
  ASSERT_TRUE(store_->Close().ok());
  EXPECT_LE(AllocatedBytes(directory_.path()), (3 << 20) + (100 << 10));
}

TEST_P(LocalRecyclingTest, ADeletionIsDurableBeforeItsSpaceIsWrittenOver) {
  ASSERT_TRUE(PutNow(*store_, Id("a"), MakeBlob(5000, 1)).ok());
  ASSERT_TRUE(PutNow(*store_, Id("b"), MakeBlob(5000, 2)).ok());
  ASSERT_TRUE(DeleteNow(*store_, Id("a")).ok());
  ASSERT_TRUE(PutNow(*store_, Id("c"), MakeBlob(5000, 3)).ok());
  // Nothing had synced it when c was written; where nothing ever does, there is no point in
  // waiting.
  EXPECT_EQ(NameAt(directory_.path(), 0), GetParam() == Durability::kNone ? "c" : "a");
  ASSERT_TRUE(PutNow(*store_, Id("d"), MakeBlob(5000, 4)).ok());
  EXPECT_EQ(NameAt(directory_.path(), 0), GetParam() == Durability::kNone ? "c" : "d");
  EXPECT_TRUE(Holds(*store_, Id("c"), MakeBlob(5000, 3)));
  EXPECT_TRUE(Holds(*store_, Id("d"), MakeBlob(5000, 4)));
}

TEST_P(LocalRecyclingTest, MetadataThatACrashBroughtBackNeverGivesTheNewBytes) {
  TempDir crashed;
  ASSERT_TRUE(PutNow(*store_, Id("a"), MakeBlob(5000, 1)).ok());
  ASSERT_TRUE(PutNow(*store_, Id("b"), MakeBlob(5000, 2)).ok());
  fs::copy(directory_.path() + "/index", crashed.path() + "/index", fs::copy_options::recursive);
  ASSERT_TRUE(DeleteNow(*store_, Id("a")).ok());
  ASSERT_TRUE(DeleteNow(*store_, Id("b")).ok());
  ASSERT_TRUE(PutNow(*store_, Id("z"), MakeBlob(10000, 5)).ok());  // settles the deletions
  ASSERT_TRUE(PutNow(*store_, Id("a"), MakeBlob(5000, 3)).ok());   // where b was
  ASSERT_TRUE(PutNow(*store_, Id("b"), MakeBlob(5000, 4)).ok());
  EXPECT_EQ(NameAt(directory_.path(), 0), "b");
  fs::copy(directory_.path() + "/segments", crashed.path() + "/segments");
  fs::copy(directory_.path() + "/FORMAT", crashed.path() + "/FORMAT");
  auto reopened = OpenStore(TestOptions(crashed.path()));
  for (const char* name : {"a", "b"}) {
    EXPECT_TRUE(absl::IsDataLoss(GetNow(*reopened, Id(name)).status()));
    ASSERT_TRUE(DeleteNow(*reopened, Id(name)).ok());
    ASSERT_TRUE(PutNow(*reopened, Id(name), MakeBlob(5000, 6)).ok());
    EXPECT_TRUE(Holds(*reopened, Id(name), MakeBlob(5000, 6)));
  }
}

TEST_P(LocalRecyclingTest, ACrashAtAnyCallLeavesEachBlobWholeOrGone) {
  struct Crash {
    std::string directory;
    std::map<std::string, uint64_t> stored;  // name and seed of what was acknowledged
  };
  constexpr int kCrashes = 15;
  const auto blob = [](uint64_t seed) { return MakeBlob(3000 + seed % 3 * 4096, seed); };
  TempDir copies;
  std::vector<Crash> crashes;
  std::map<std::string, uint64_t> stored;
  uint64_t random = 7;
  std::atomic<int> calls = 0, next = 3;
  // Deletes may still punch beside it: what they punch nobody names.
  files_.SetHook([&](FileCall call, const std::string&) {
    if (call != FileCall::kWrite && call != FileCall::kSync) return absl::OkStatus();
    if (++calls < next || crashes.size() == kCrashes) return absl::OkStatus();
    next = calls + 1 + static_cast<int>((random >> 40) % 9);
    crashes.push_back({copies.path() + "/" + std::to_string(crashes.size()), stored});
    fs::copy(directory_.path(), crashes.back().directory, fs::copy_options::recursive);
    return absl::OkStatus();
  });
  Open(64 << 10);
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    const std::string name = std::to_string((random >> 33) % 12);
    const auto it = stored.find(name);
    if (it != stored.end()) {
      EXPECT_TRUE(Holds(*store_, Id(name), blob(it->second)));
      ASSERT_TRUE(DeleteNow(*store_, Id(name)).ok());
      stored.erase(it);
    } else {
      ASSERT_TRUE(PutNow(*store_, Id(name), blob(seed)).ok());
      stored[name] = seed;
    }
  }
  store_.reset();
  EXPECT_GE(crashes.size(), 10);
  for (const Crash& crash : crashes) {
    auto reopened = OpenStore(TestOptions(crash.directory));
    ASSERT_NE(reopened, nullptr);
    EXPECT_EQ(reopened->recovery().dangling_dropped, 0);
    for (int n = 0; n < 12; ++n) {
      const std::string name = std::to_string(n);
      const auto it = crash.stored.find(name);
      if (it != crash.stored.end()) {
        EXPECT_TRUE(Holds(*reopened, Id(name), blob(it->second)));
      } else {
        EXPECT_TRUE(absl::IsNotFound(GetNow(*reopened, Id(name)).status())) << name;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Durabilities, LocalRecyclingTest,
                         ::testing::Values(Durability::kNone, Durability::kBatch,
                                           Durability::kEach),
                         [](const auto& info) {
                           return std::string(info.param == Durability::kNone    ? "none"
                                              : info.param == Durability::kBatch ? "batch"
                                                                                 : "each");
                         });

}  // namespace
}  // namespace kvstore::testing
