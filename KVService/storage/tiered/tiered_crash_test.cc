// Write-back over crashes: what was acknowledged is found again, whichever call was the last.
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <set>
#include <utility>

#include "KVService/storage/tiered/pending_marker.h"
#include "KVService/storage/tiered/tiered_store_testing.h"

namespace kvstore::testing {
namespace {

// The process's end: after so many calls nothing has an effect any more, on the disk or remotely.
class Plug {
 public:
  explicit Plug(int calls) : left_(calls) {}
  // Whether the call still happens. Some that do are not heard of.
  bool Take() { return left_.fetch_sub(1) > 0; }
  bool pulled() const { return left_ <= 0; }

 private:
  std::atomic<int> left_;
};

absl::Status Dead() { return absl::UnavailableError("the process has ended"); }

template <typename Base>
class Unpluggable : public Base {
 public:
  template <typename... Args>
  explicit Unpluggable(std::shared_ptr<Plug> plug, Args&&... args)
      : Base(std::forward<Args>(args)...), plug_(std::move(plug)) {}

  void Put(BlobId id, Blob blob, Patience patience,
           absl::AnyInvocable<void(absl::Status) &&> done) override {
    if (!plug_->Take()) return std::move(done)(Dead());
    Base::Put(std::move(id), std::move(blob), std::move(patience), Heard(std::move(done)));
  }
  void Get(BlobId id, Patience patience,
           absl::AnyInvocable<void(absl::StatusOr<Blob>) &&> done) override {
    if (plug_->pulled()) return std::move(done)(Dead());
    Base::Get(std::move(id), std::move(patience), std::move(done));
  }
  void Delete(BlobId id, absl::AnyInvocable<void(absl::Status) &&> done) override {
    if (!plug_->Take()) return std::move(done)(Dead());
    Base::Delete(std::move(id), Heard(std::move(done)));
  }

 private:
  absl::AnyInvocable<void(absl::Status) &&> Heard(absl::AnyInvocable<void(absl::Status) &&> done) {
    return [plug = plug_, done = std::move(done)](absl::Status status) mutable {
      std::move(done)(plug->pulled() ? Dead() : std::move(status));
    };
  }

  const std::shared_ptr<Plug> plug_;
};

// A BlobStore that is another's, for what is kept over a crash.
class Borrowed : public BlobStore {
 public:
  explicit Borrowed(BlobStore* store) : store_(store) {}
  void Put(BlobId id, Blob blob, Patience patience,
           absl::AnyInvocable<void(absl::Status) &&> done) override {
    store_->Put(std::move(id), std::move(blob), std::move(patience), std::move(done));
  }
  void Get(BlobId id, Patience patience,
           absl::AnyInvocable<void(absl::StatusOr<Blob>) &&> done) override {
    store_->Get(std::move(id), std::move(patience), std::move(done));
  }
  void Delete(BlobId id, absl::AnyInvocable<void(absl::Status) &&> done) override {
    store_->Delete(std::move(id), std::move(done));
  }
  absl::Status ListUntil(const std::shared_ptr<Cancellation>& end,
                         const std::function<void(BlobInfo)>& visit) override {
    return store_->ListUntil(end, visit);
  }
  void ListPrefix(BlobId prefix, size_t limit, Patience patience,
                  Done<std::vector<BlobInfo>> done) override {
    store_->ListPrefix(std::move(prefix), limit, std::move(patience), std::move(done));
  }
  BlobStoreUsage Usage() const override { return store_->Usage(); }
  uint64_t FootprintOf(const BlobId& id, const Blob& blob) const override {
    return store_->FootprintOf(id, blob);
  }
  absl::Status Close() override { return absl::OkStatus(); }

 private:
  BlobStore* const store_;
};

TEST(TieredCrashTest, WhateverTheLastCallWasNothingAcknowledgedIsLost) {
  int crashes_with_pending = 0;
  for (int calls = 0; calls < 70; ++calls) {
    MemoryBlobStore disk;
    auto account = std::make_shared<MemoryAccount>();
    auto plug = std::make_shared<Plug>(calls);
    std::map<std::string, int> stored;  // what must be there, with its seed
    {
      TieredOptions options = FastOptions(true);
      if (calls % 2 == 0) options.upload_concurrency = 0;  // the last call is then a local one
      auto tier = OpenTier<BlobStore>(options, std::make_unique<Unpluggable<Borrowed>>(plug, &disk),
                                      std::make_unique<Unpluggable<Remote>>(plug, account));
      for (int i = 0; i < 12; ++i) {
        const std::string name = std::to_string(i);
        if (PutNow(*tier, Id(name), MakeBlob(100 + i, i, name)).ok()) stored[name] = i;
        if (i % 3 != 2) continue;
        const std::string victim = std::to_string(i - 1);
        stored.erase(victim);  // whatever comes of it
        DeleteNow(*tier, Id(victim)).IgnoreError();
      }
    }
    auto tier = OpenTier<BlobStore>(FastOptions(true), std::make_unique<Borrowed>(&disk),
                                    std::make_unique<Remote>(account));
    for (const auto& [name, seed] : stored) {
      EXPECT_TRUE(Holds(*tier, Id(name), MakeBlob(100 + seed, seed, name))) << calls;
    }
    ASSERT_TRUE(UploadsOf(*tier).ok());
    crashes_with_pending += tier->stats().uploads > 0;
    for (const auto& [name, seed] : stored) {
      EXPECT_TRUE(Holds(*tier.remote, Id(name), MakeBlob(100 + seed, seed, name))) << calls;
    }
    ASSERT_TRUE(tier.remote
                    ->List([&](BlobInfo info) {
                      // A put that was cut off may have been stored, but whole.
                      EXPECT_EQ(info.size, 100 + std::stoi(info.id.name));
                    })
                    .ok());
    ASSERT_TRUE(tier->Close().ok());
    // No marker stays.
    ASSERT_TRUE(disk.List([&](BlobInfo info) { EXPECT_FALSE(tiered::IsMarker(info.id)); }).ok());
  }
  EXPECT_GT(crashes_with_pending, 5);
}

TEST(TieredCrashTest, AReopenedDirectoryUploadsWhatWasLeft) {
  TempDir directory;
  auto account = std::make_shared<MemoryAccount>();
  TieredOptions options = FastOptions(true);
  options.drain = absl::ZeroDuration();
  {
    auto tier = DiskTier(options, directory.path(), account);
    tier.remote->SetDown(absl::UnavailableError("down"));
    for (int i = 0; i < 100; ++i) {
      ASSERT_TRUE(PutNow(*tier, Id(std::to_string(i)), MakeBlob(1000 + i, i, "x")).ok());
    }
    ASSERT_TRUE(PutNow(*tier, Id("a"), MakeBlob(10, 1)).ok());
  }
  {
    // Also where write-back was turned off meanwhile.
    auto tier = DiskTier(FastOptions(false), directory.path(), account);
    ASSERT_TRUE(UploadsOf(*tier).ok());
    EXPECT_EQ(tier->stats().uploads, 101);
    for (int i = 0; i < 100; ++i) {
      EXPECT_TRUE(Holds(*tier.remote, Id(std::to_string(i)), MakeBlob(1000 + i, i, "x")));
    }
  }
  auto tier = DiskTier(options, directory.path(), account);
  EXPECT_EQ(tier->stats().pending_blobs, 0);
  EXPECT_TRUE(Holds(*tier, Id("7"), MakeBlob(1007, 7, "x")));
  EXPECT_EQ(tier->stats().local_hits, 1);
}

TEST(TieredCrashTest, WhatIsFoundPendingCountsAsBefore) {
  MemoryBlobStore disk;
  auto account = std::make_shared<MemoryAccount>();
  TieredOptions options = FastOptions(true);
  options.upload_concurrency = 0;
  BlobStoreUsage before;
  uint64_t local_before = 0;
  {
    auto tier = OpenTier<BlobStore>(options, std::make_unique<Borrowed>(&disk),
                                    std::make_unique<Remote>(account));
    ASSERT_TRUE(PutNow(*tier, Id("a"), MakeBlob(100, 1, "attributes")).ok());
    ASSERT_TRUE(PutNow(*tier, Id("b"), MakeBlob(200, 2)).ok());
    before = tier->Usage();
    local_before = tier->stats().local_bytes;
  }
  // A marker whose blob a crash has cut off, and one's of a blob that the disk has lost.
  ASSERT_TRUE(PutNow(disk, tiered::MarkerOf(Id("never")), tiered::MarkerBlob(Id("never"))).ok());
  auto tier = OpenTier<BlobStore>(options, std::make_unique<Borrowed>(&disk),
                                  std::make_unique<Remote>(account));
  EXPECT_EQ(tier->Usage().blobs, before.blobs);
  EXPECT_EQ(tier->Usage().used_bytes, before.used_bytes);
  EXPECT_EQ(tier->stats().pending_bytes, 300);
  EXPECT_LE(tier->stats().local_bytes, local_before);
  EXPECT_TRUE(absl::IsAlreadyExists(PutNow(*tier, Id("a"), MakeBlob(1, 1))));
  EXPECT_TRUE(absl::IsNotFound(GetNow(*tier, Id("never")).status()));
  ASSERT_TRUE(tier->Close().ok());
  EXPECT_TRUE(absl::IsNotFound(GetNow(disk, tiered::MarkerOf(Id("never"))).status()));
}

// Lists one blob more than it has: lost.
class Losing : public Borrowed {
 public:
  using Borrowed::Borrowed;
  absl::Status ListUntil(const std::shared_ptr<Cancellation>& end,
                         const std::function<void(BlobInfo)>& visit) override {
    visit({.id = Id("lost"), .lost = true});
    visit({.id = Id("cached"), .lost = true});
    return Borrowed::ListUntil(end, visit);
  }
};

TEST(TieredCrashTest, APendingBlobThatTheDiskLostIsListedAsLost) {
  MemoryBlobStore disk;
  ASSERT_TRUE(PutNow(disk, tiered::MarkerOf(Id("lost")), tiered::MarkerBlob(Id("lost"))).ok());
  auto tier = OpenTier<BlobStore>(FastOptions(true), std::make_unique<Losing>(&disk),
                                  std::make_unique<Remote>());
  std::set<std::string> lost;
  ASSERT_TRUE(tier->ListUnshared([&](BlobInfo info) {
                    EXPECT_TRUE(info.lost);
                    lost.insert(info.id.name);
                  })
                  .ok());
  EXPECT_EQ(lost, std::set<std::string>{"lost"});
  EXPECT_TRUE(PutNow(*tier, Id("lost"), MakeBlob(10, 1)).ok());
}

TEST(TieredCrashTest, ADirectoryThatWasAStoreOfItsOwnKeepsItsReservedBlobs) {
  MemoryBlobStore disk(100 << 10);
  const BlobId key{"-", "-", "location-key"};
  ASSERT_TRUE(PutNow(disk, key, MakeBlob(16, 1)).ok());
  auto tier = OpenTier<BlobStore>(FastOptions(false), std::make_unique<Borrowed>(&disk),
                                  std::make_unique<Remote>());
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(PutNow(*tier, Id(std::to_string(i)), MakeBlob(3000, i)).ok());
  }
  EXPECT_TRUE(Holds(disk, key, MakeBlob(16, 1)));
}

TEST(TieredCrashTest, OpenFailsWhereTheLocalStoreCannotBeListed) {
  auto closed = std::make_unique<MemoryBlobStore>();
  ASSERT_TRUE(closed->Close().ok());
  EXPECT_TRUE(absl::IsUnavailable(
      TieredBlobStore::Open(FastOptions(true), std::move(closed), std::make_unique<Remote>())
          .status()));
}

}  // namespace
}  // namespace kvstore::testing
