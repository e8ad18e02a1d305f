// Random work against a simple map: nothing acknowledged is lost, no byte is ever wrong.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <thread>

#include "KVService/storage/tiered/tiered_store_testing.h"

namespace kvstore::testing {
namespace {

constexpr int kNames = 40;
constexpr uint64_t kLocalCapacity = 600 << 10;

Blob BlobOf(int name, int version) {
  return MakeBlob(1000 + 997 * name, name * 1000 + version, std::to_string(version));
}

// What may be under a name: one version, or none, or, after a call that failed, either of those it
// was about.
struct Expected {
  std::map<int, Blob> versions;
  bool maybe_none = true;
};

class TieredModel {
 public:
  TieredModel(uint64_t seed, bool write_back)
      : random_(seed), write_back_(write_back), account_(std::make_shared<MemoryAccount>()) {
    Open();
  }

  void Step() {
    const int name = Below(kNames);
    switch (Below(20)) {
      case 0:
        return Below(3) == 0 ? Open() : SwitchRemote();
      case 1:
      case 2:
        return SwitchRemote();
      case 3:
      case 4:
      case 5:
        return Delete(name);
      case 6:
      case 7:
      case 8:
      case 9:
      case 10:
        return Put(name);
      default:
        return Get(name);
    }
  }

  void CheckAll() {
    tier_.remote->SetUp();
    down_ = false;
    for (int name = 0; name < kNames; ++name) Get(name);
    ASSERT_TRUE(UploadsOf(*tier_).ok());
    // All of it is in the remote store now.
    for (int name = 0; name < kNames; ++name) {
      Check(name, GetNow(*tier_.remote, Id(std::to_string(name))));
    }
    EXPECT_EQ(tier_->Usage().blobs, tier_.remote->Usage().blobs);
  }

 private:
  int Below(int n) { return static_cast<int>(random_() % n); }

  void Open() {
    TieredOptions options = FastOptions(write_back_);
    options.drain = absl::ZeroDuration();
    options.max_pending_bytes = 200 << 10;
    tier_.tier.reset();
    tier_ = DiskTier(options, directory_.path(), account_, kLocalCapacity);
    if (down_) tier_.remote->SetDown(absl::UnavailableError("down"));
  }

  void SwitchRemote() {
    down_ = !down_;
    down_ ? tier_.remote->SetDown(absl::UnavailableError("down")) : tier_.remote->SetUp();
  }

  void Put(int name) {
    Expected& expected = expected_[name];
    // A version more than any before, unless the name may be taken: the bytes of one name's racing
    // writers are equivalent, so here they are equal.
    const bool taken = !expected.versions.empty();
    const int version = taken ? expected.versions.begin()->first : ++last_version_;
    const Blob blob = BlobOf(name, version);
    const absl::Status status = PutNow(*tier_, Id(std::to_string(name)), blob);
    if (status.ok()) {
      expected.versions = {{version, blob}};
      expected.maybe_none = false;
    } else if (absl::IsAlreadyExists(status)) {
      EXPECT_TRUE(taken) << name;
      expected.maybe_none = false;
    } else {
      EXPECT_TRUE(down_) << status;
      expected.versions[version] = blob;
    }
    CheckCapacity();
  }

  void Delete(int name) {
    Expected& expected = expected_[name];
    const absl::Status status = DeleteNow(*tier_, Id(std::to_string(name)));
    if (status.ok() || absl::IsNotFound(status)) {
      EXPECT_TRUE(status.ok() || expected.maybe_none) << name;
      expected = Expected();
    } else {
      EXPECT_TRUE(down_) << status;
    }
  }

  void Get(int name) {
    Check(name, GetNow(*tier_, Id(std::to_string(name))));
    CheckCapacity();
  }

  void Check(int name, const absl::StatusOr<Blob>& got) {
    const Expected& expected = expected_[name];
    if (absl::IsNotFound(got.status())) {
      EXPECT_TRUE(expected.maybe_none) << name << " was lost";
    } else if (got.ok()) {
      const int version = std::stoi(got->attributes);
      ASSERT_TRUE(expected.versions.contains(version)) << name << " version " << version;
      EXPECT_TRUE(SameBlob(*got, expected.versions.at(version)));
    } else {
      EXPECT_TRUE(down_ && absl::IsUnavailable(got.status())) << got.status();
    }
  }

  void CheckCapacity() {
    EXPECT_LE(tier_.local->Usage().used_bytes, kLocalCapacity);
    EXPECT_LE(tier_->stats().pending_bytes, 200 << 10);
  }

  std::mt19937_64 random_;
  const bool write_back_;
  const TempDir directory_;
  const std::shared_ptr<MemoryAccount> account_;
  TierOn<LocalBlobStore> tier_;
  std::map<int, Expected> expected_;
  int last_version_ = 0;
  bool down_ = false;
};

class TieredModelTest : public ::testing::TestWithParam<bool> {};

TEST_P(TieredModelTest, LosesNothingAndServesNoWrongByte) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE(seed);
    TieredModel model(seed, GetParam());
    for (int i = 0; i < 600 && !HasFailure(); ++i) model.Step();
    model.CheckAll();
    ASSERT_FALSE(HasFailure());
  }
}

// Puts, gets and deletes of few names from many threads, evictions, uploads and an unsteady remote
// store: sanitizers see all of it, and what is read is right.
TEST_P(TieredModelTest, ManyThreadsReadNoWrongByte) {
  TempDir directory;
  TieredOptions options = FastOptions(GetParam());
  options.max_pending_bytes = 100 << 10;
  auto tier = DiskTier(options, directory.path(), std::make_shared<MemoryAccount>(), 300 << 10);
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937_64 random(t);
      for (int i = 0; i < 300; ++i) {
        const int name = static_cast<int>(random() % 30);
        const BlobId id = Id(std::to_string(name));
        const int what = static_cast<int>(random() % 8);
        if (what == 0) {
          const absl::Status status = DeleteNow(*tier, id);
          wrong += !status.ok() && !absl::IsNotFound(status) && !absl::IsUnavailable(status);
        } else if (what < 4) {
          const absl::Status status = PutNow(*tier, id, BlobOf(name, 0));
          wrong += !status.ok() && !absl::IsAlreadyExists(status) && !absl::IsUnavailable(status);
        } else {
          const absl::StatusOr<Blob> got = GetNow(*tier, id);
          wrong += got.ok() ? !SameBlob(*got, BlobOf(name, 0))
                            : !absl::IsNotFound(got.status()) && !absl::IsUnavailable(got.status());
        }
        if (t == 0 && i % 40 == 10) tier.remote->SetDown(absl::UnavailableError("down"));
        if (t == 0 && i % 40 == 20) tier.remote->SetUp();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  tier.remote->SetUp();
  EXPECT_EQ(wrong, 0);
  ASSERT_TRUE(UploadsOf(*tier).ok());
  uint64_t blobs = 0;
  ASSERT_TRUE(tier->List([&](BlobInfo info) {
                    ++blobs;
                    const int name = std::stoi(info.id.name);
                    EXPECT_TRUE(Holds(*tier, info.id, BlobOf(name, 0)));
                  })
                  .ok());
  EXPECT_EQ(tier->Usage().blobs, blobs);
  EXPECT_TRUE(
      Eventually([&] { return tier->stats().local_bytes == tier.local->Usage().used_bytes; }));
}

INSTANTIATE_TEST_SUITE_P(Tiered, TieredModelTest, ::testing::Bool(), [](const auto& info) {
  return info.param ? "write_back" : "write_through";
});

}  // namespace
}  // namespace kvstore::testing
