#include "KVService/storage/tiered/tiered_blob_store.h"

#include <future>
#include <set>
#include <string>
#include <vector>

#include "KVService/storage/tiered/pending_marker.h"
#include "KVService/storage/tiered/tiered_store_testing.h"

namespace kvstore::testing {
namespace {

constexpr bool kThrough = false;
constexpr bool kBack = true;

// Options under which nothing is uploaded.
TieredOptions NoUploads() {
  TieredOptions options = FastOptions(kBack);
  options.upload_concurrency = 0;
  return options;
}

bool LocalHas(MemoryBlobStore* local, const BlobId& id) { return GetNow(*local, id).ok(); }

TEST(TieredBlobStoreTest, RefusesOptionsThatMakeNoSense) {
  TieredOptions options;
  options.retry_min = absl::ZeroDuration();
  EXPECT_TRUE(
      absl::IsInvalidArgument(TieredBlobStore::Open(options, std::make_unique<MemoryBlobStore>(),
                                                    std::make_unique<Remote>())
                                  .status()));
}

// ---- reads

TEST(TieredBlobStoreTest, WhatWasFetchedOnceIsReadLocally) {
  auto tier = MemoryTier(FastOptions(kThrough));
  ASSERT_TRUE(PutNow(*tier.remote, Id("a"), MakeBlob(100, 1, "attributes")).ok());
  EXPECT_TRUE(Holds(*tier, Id("a"), MakeBlob(100, 1, "attributes")));
  EXPECT_TRUE(Holds(*tier.local, Id("a"), MakeBlob(100, 1, "attributes")));
  EXPECT_TRUE(Holds(*tier, Id("a"), MakeBlob(100, 1, "attributes")));
  EXPECT_EQ(tier.remote->count(Remote::kGet), 1);
  const TieredStats stats = tier->stats();
  EXPECT_EQ(stats.local_hits, 1);
  EXPECT_EQ(stats.local_misses, 1);
  EXPECT_EQ(stats.remote_gets, 1);
  EXPECT_EQ(stats.fills, 1);
}

TEST(TieredBlobStoreTest, AnAnswerDoesNotWaitForTheCopy) {
  auto tier = MemoryTier(FastOptions(kThrough));
  ASSERT_TRUE(PutNow(*tier.remote, Id("a"), MakeBlob(100, 1)).ok());
  tier.local->HoldCallbacks();
  EXPECT_TRUE(Holds(*tier, Id("a"), MakeBlob(100, 1)));
  EXPECT_EQ(tier.local->held_callbacks(), 1);
  EXPECT_EQ(tier->stats().fills, 0);
  // Meanwhile it is read remotely, and no second copy is begun.
  EXPECT_TRUE(Holds(*tier, Id("a"), MakeBlob(100, 1)));
  EXPECT_EQ(tier.local->held_callbacks(), 1);
  tier.local->ReleaseCallbacks();
  EXPECT_EQ(tier->stats().fills, 1);
}

TEST(TieredBlobStoreTest, BytesOfCopiesUnderWayAreBounded) {
  TieredOptions options = FastOptions(kThrough);
  options.max_fill_bytes = 250;
  auto tier = MemoryTier(options);
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(PutNow(*tier.remote, Id(std::to_string(i)), MakeBlob(100, i)).ok());
  }
  tier.local->HoldCallbacks();
  for (int i = 0; i < 4; ++i) {
    EXPECT_TRUE(Holds(*tier, Id(std::to_string(i)), MakeBlob(100, i)));
  }
  EXPECT_EQ(tier.local->held_callbacks(), 2);
  EXPECT_EQ(tier->stats().fills_skipped, 2);
  tier.local->ReleaseCallbacks();
  EXPECT_EQ(tier->stats().fills, 2);
}

TEST(TieredBlobStoreTest, ACopyThatFailsIsOnlyCounted) {
  auto tier = MemoryTier(FastOptions(kThrough));
  ASSERT_TRUE(PutNow(*tier.remote, Id("a"), MakeBlob(100, 1)).ok());
  tier.local->FailNextPut(absl::UnavailableError("disk"));
  EXPECT_TRUE(Holds(*tier, Id("a"), MakeBlob(100, 1)));
  EXPECT_EQ(tier->stats().fill_failures, 1);
  EXPECT_EQ(tier->stats().local_bytes, 0);
  EXPECT_TRUE(Holds(*tier, Id("a"), MakeBlob(100, 1)));
  EXPECT_TRUE(LocalHas(tier.local, Id("a")));
}

TEST(TieredBlobStoreTest, ADamagedCopyIsReplaced) {
  auto tier = MemoryTier(FastOptions(kThrough));
  ASSERT_TRUE(PutNow(*tier, Id("a"), MakeBlob(100, 1)).ok());
  ASSERT_TRUE(tier.local->Corrupt(Id("a")));
  EXPECT_TRUE(Holds(*tier, Id("a"), MakeBlob(100, 1)));
  EXPECT_TRUE(Holds(*tier.local, Id("a"), MakeBlob(100, 1)));
  EXPECT_EQ(tier->stats().local_corrupt, 1);
}

TEST(TieredBlobStoreTest, ACopyThatWasFoundDamagedGoesAndIsMadeAnew) {
  auto tier = MemoryTier(FastOptions(kThrough));
  ASSERT_TRUE(PutNow(*tier, Id("a"), MakeBlob(100, 1)).ok());
  ASSERT_TRUE(LocalHas(tier.local, Id("a")));
  tier->DropDamaged(Id("a"));
  EXPECT_TRUE(Eventually([&] { return !LocalHas(tier.local, Id("a")); }));
  EXPECT_EQ(tier->stats().local_corrupt, 1);
  EXPECT_TRUE(Holds(*tier, Id("a"), MakeBlob(100, 1)));
  EXPECT_TRUE(Holds(*tier.local, Id("a"), MakeBlob(100, 1)));
  tier->DropDamaged(Id("unknown"));  // nothing happens
}

TEST(TieredBlobStoreTest, TheOnlyCopyIsNotDroppedForBeingDamaged) {
  auto tier = MemoryTier(FastOptions(true));
  tier.remote->SetDown(absl::UnavailableError("down"));
  ASSERT_TRUE(PutNow(*tier, Id("a"), MakeBlob(100, 1)).ok());
  tier->DropDamaged(Id("a"));
  EXPECT_EQ(tier->stats().local_corrupt, 0);
  EXPECT_TRUE(Holds(*tier, Id("a"), MakeBlob(100, 1)));
}

TEST(TieredBlobStoreTest, ALocalErrorIsAMiss) {
  auto tier = MemoryTier(FastOptions(kThrough));
  ASSERT_TRUE(PutNow(*tier, Id("a"), MakeBlob(100, 1)).ok());
  tier.local->FailNextGet(absl::UnavailableError("disk"));
  EXPECT_TRUE(Holds(*tier, Id("a"), MakeBlob(100, 1)));
  EXPECT_EQ(tier->stats().local_errors, 1);
  EXPECT_TRUE(LocalHas(tier.local, Id("a")));
  // A copy that has vanished is made anew.
  ASSERT_TRUE(DeleteNow(*tier.local, Id("a")).ok());
  EXPECT_TRUE(Holds(*tier, Id("a"), MakeBlob(100, 1)));
  EXPECT_TRUE(LocalHas(tier.local, Id("a")));
}

TEST(TieredBlobStoreTest, ReadsLocallyWhileTheRemoteStoreIsDown) {
  auto tier = MemoryTier(FastOptions(kThrough));
  ASSERT_TRUE(PutNow(*tier, Id("a"), MakeBlob(100, 1)).ok());
  tier.remote->SetDown(absl::UnavailableError("down"));
  EXPECT_TRUE(Holds(*tier, Id("a"), MakeBlob(100, 1)));
  std::vector<size_t> local;
  const BlobId ids[] = {Id("b"), Id("a")};
  tier->FindLocal(
      2, [&](size_t i) { return ids[i]; }, [&](size_t i) { local.push_back(i); });
  EXPECT_EQ(local, std::vector<size_t>{1});
  EXPECT_TRUE(absl::IsUnavailable(GetNow(*tier, Id("b")).status()));
}

// Answers its next Get when it is told to.
class LateRemote : public Remote {
 public:
  void Get(BlobId id, Patience patience,
           absl::AnyInvocable<void(absl::StatusOr<Blob>) &&> done) override {
    Remote::Get(std::move(id), std::move(patience),
                [this, done = std::move(done)](auto blob) mutable {
                  answer = [done = std::move(done), blob = std::move(blob)]() mutable {
                    std::move(done)(std::move(blob));
                  };
                });
  }
  absl::AnyInvocable<void() &&> answer;
};

TEST(TieredBlobStoreTest, WhatWasDeletedMeanwhileIsNotKept) {
  auto owned = std::make_unique<LateRemote>();
  LateRemote* const remote = owned.get();
  auto tier = OpenTier<MemoryBlobStore>(FastOptions(kThrough), std::make_unique<MemoryBlobStore>(),
                                        std::move(owned));
  for (const bool during : {false, true}) {
    ASSERT_TRUE(PutNow(*remote, Id("a"), MakeBlob(100, 1)).ok());
    auto get = GetAsync(*tier, Id("a"));
    if (during) remote->HoldCallbacks();
    auto deleted = DeleteAsync(*tier, Id("a"));
    std::move(remote->answer)();
    if (during) remote->ReleaseCallbacks();
    EXPECT_TRUE(get.get().ok());
    EXPECT_TRUE(deleted.get().ok());
    EXPECT_EQ(tier.local->Usage().blobs, 0);
    EXPECT_EQ(tier->stats().local_bytes, 0);
  }
  EXPECT_EQ(tier->stats().fills_skipped, 1);
}

TEST(TieredBlobStoreTest, EachCallHasItsOwnDeadline) {
  auto tier = MemoryTier(FastOptions(kThrough));
  ASSERT_TRUE(PutNow(*tier.remote, Id("a"), MakeBlob(100, 1)).ok());
  tier.remote->Hang();
  const auto soon = [] { return absl::Now() + absl::Milliseconds(30); };
  auto patient = GetAsync(*tier, Id("a"));
  EXPECT_TRUE(absl::IsDeadlineExceeded(GetAsync(*tier, Id("a"), soon()).get().status()));
  EXPECT_TRUE(absl::IsDeadlineExceeded(PutAsync(*tier, Id("b"), MakeBlob(9, 1), soon()).get()));
  std::promise<absl::Status> stat, listing;
  tier->Stat(Id("a"), soon(), [&](auto info) { stat.set_value(info.status()); });
  tier->ListPrefix(Id("a"), 9, soon(), [&](auto infos) { listing.set_value(infos.status()); });
  EXPECT_TRUE(absl::IsDeadlineExceeded(stat.get_future().get()));
  EXPECT_TRUE(absl::IsDeadlineExceeded(listing.get_future().get()));
  tier.remote->Resume();
  EXPECT_TRUE(patient.get().ok());
  EXPECT_TRUE(absl::IsNotFound(GetNow(*tier, Id("b")).status()));
}

// ---- puts

TEST(TieredBlobStoreTest, AWriteThroughWaitsForTheRemoteStore) {
  auto tier = MemoryTier(FastOptions(kThrough));
  tier.remote->Hang();
  auto put = PutAsync(*tier, Id("a"), MakeBlob(100, 1));
  EXPECT_EQ(put.wait_for(std::chrono::milliseconds(20)), std::future_status::timeout);
  EXPECT_FALSE(LocalHas(tier.local, Id("a")));
  tier.remote->Resume();
  EXPECT_TRUE(put.get().ok());
  EXPECT_TRUE(Eventually([&] { return LocalHas(tier.local, Id("a")); }));
  tier.remote->SetDown(absl::UnavailableError("down"));
  EXPECT_TRUE(absl::IsUnavailable(PutNow(*tier, Id("b"), MakeBlob(100, 2))));
  EXPECT_FALSE(LocalHas(tier.local, Id("b")));
}

TEST(TieredBlobStoreTest, AWriteBackWaitsForTheLocalStoreOnly) {
  auto tier = MemoryTier(FastOptions(kBack));
  tier.remote->SetDown(absl::UnavailableError("down"));
  ASSERT_TRUE(PutNow(*tier, Id("a"), MakeBlob(100, 1, "x")).ok());
  EXPECT_TRUE(Holds(*tier, Id("a"), MakeBlob(100, 1, "x")));
  EXPECT_TRUE(absl::IsAlreadyExists(PutNow(*tier, Id("a"), MakeBlob(100, 2))));
  EXPECT_TRUE(LocalHas(tier.local, tiered::MarkerOf(Id("a"))));
  EXPECT_EQ(tier->stats().pending_blobs, 1);
  EXPECT_EQ(tier->stats().pending_bytes, 100);
  EXPECT_TRUE(Eventually([&] { return tier->stats().upload_failures > 2; }));
  EXPECT_GT(tier->stats().oldest_pending_age, absl::ZeroDuration());
  tier.remote->SetUp();
  ASSERT_TRUE(UploadsOf(*tier).ok());
  EXPECT_TRUE(Holds(*tier.remote, Id("a"), MakeBlob(100, 1, "x")));
  EXPECT_FALSE(LocalHas(tier.local, tiered::MarkerOf(Id("a"))));
  EXPECT_EQ(tier->stats().pending_blobs, 0);
  EXPECT_EQ(tier->stats().uploads, 1);
  EXPECT_TRUE(absl::IsAlreadyExists(PutNow(*tier, Id("a"), MakeBlob(100, 2))));
}

TEST(TieredBlobStoreTest, AWriteBackTakesNoLongerThanTheSlowerOfBlobAndMarker) {
  auto tier = MemoryTier(FastOptions(kBack));
  tier.local->HoldCallbacks();
  auto put = PutAsync(*tier, Id("a"), MakeBlob(100, 1));
  EXPECT_EQ(tier.local->held_callbacks(), 2);
  EXPECT_EQ(put.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  tier.local->ReleaseCallbacks();
  EXPECT_TRUE(put.get().ok());
}

TEST(TieredBlobStoreTest, AWriteBackThatFailsLocallyGoesThrough) {
  auto tier = MemoryTier(FastOptions(kBack));
  for (int failing = 0; failing < 2; ++failing) {  // the marker's put, then the blob's
    const BlobId id = Id(std::to_string(failing));
    if (failing == 1) tier.local->FailNextPut(absl::OkStatus());
    tier.local->FailNextPut(absl::UnavailableError("disk"));
    tier.remote->Hang();
    auto put = PutAsync(*tier, id, MakeBlob(100, failing));
    EXPECT_EQ(put.wait_for(std::chrono::milliseconds(10)), std::future_status::timeout);
    EXPECT_EQ(tier.local->Usage().blobs, failing);  // nothing of this one
    tier.remote->Resume();
    EXPECT_TRUE(put.get().ok());
    EXPECT_TRUE(Holds(*tier.remote, id, MakeBlob(100, failing)));
    EXPECT_TRUE(Eventually([&] { return LocalHas(tier.local, id); }));
  }
  EXPECT_EQ(tier->stats().write_throughs, 2);
}

TEST(TieredBlobStoreTest, BeyondItsLimitsAWriteBackGoesThrough) {
  TieredOptions options = NoUploads();
  options.max_pending_blobs = 2;
  options.max_pending_bytes = 1000;
  auto tier = MemoryTier(options);
  ASSERT_TRUE(PutNow(*tier, Id("large"), MakeBlob(1001, 1)).ok());
  EXPECT_TRUE(Holds(*tier.remote, Id("large"), MakeBlob(1001, 1)));
  ASSERT_TRUE(PutNow(*tier, Id("a"), MakeBlob(400, 2)).ok());
  ASSERT_TRUE(PutNow(*tier, Id("b"), MakeBlob(400, 3)).ok());
  ASSERT_TRUE(PutNow(*tier, Id("c"), MakeBlob(10, 4)).ok());
  EXPECT_TRUE(absl::IsNotFound(GetNow(*tier.remote, Id("a")).status()));
  EXPECT_TRUE(Holds(*tier.remote, Id("c"), MakeBlob(10, 4)));
  EXPECT_EQ(tier->stats().pending_blobs, 2);
  EXPECT_EQ(tier->stats().write_throughs, 2);
  tier.remote->SetDown(absl::UnavailableError("down"));
  EXPECT_TRUE(absl::IsUnavailable(PutNow(*tier, Id("d"), MakeBlob(10, 5))));
}

TEST(TieredBlobStoreTest, TheFirstUploadWinsAmongServers) {
  auto tier = MemoryTier(FastOptions(kBack));
  Remote other(tier.remote->account());
  tier.remote->SetDown(absl::UnavailableError("down"));
  ASSERT_TRUE(PutNow(*tier, Id("a"), MakeBlob(100, 1)).ok());
  ASSERT_TRUE(PutNow(other, Id("a"), MakeBlob(100, 2)).ok());
  tier.remote->SetUp();
  ASSERT_TRUE(UploadsOf(*tier).ok());
  EXPECT_TRUE(Holds(*tier, Id("a"), MakeBlob(100, 2)));
  EXPECT_EQ(tier->stats().pending_blobs, 0);
}

TEST(TieredBlobStoreTest, ACopyOfWhatAnotherServerDeletedIsReplacedByAPut) {
  for (const bool write_back : {false, true}) {
    auto tier = MemoryTier(FastOptions(write_back));
    Remote other(tier.remote->account());
    ASSERT_TRUE(PutNow(*tier, Id("a"), MakeBlob(100, 1)).ok());
    ASSERT_TRUE(UploadsOf(*tier).ok());
    ASSERT_TRUE(DeleteNow(other, Id("a")).ok());
    ASSERT_TRUE(PutNow(*tier, Id("a"), MakeBlob(100, 2)).ok());
    EXPECT_TRUE(Holds(other, Id("a"), MakeBlob(100, 2)));
    EXPECT_TRUE(Holds(*tier, Id("a"), MakeBlob(100, 2)));
    EXPECT_TRUE(Holds(*tier.local, Id("a"), MakeBlob(100, 2)));
  }
}

TEST(TieredBlobStoreTest, ReservedNamesAreAgreedOnAtOnceAndNotKept) {
  auto tier = MemoryTier(FastOptions(kBack));
  const BlobId key{"-", "-", "location-key"};
  ASSERT_TRUE(PutNow(*tier, key, MakeBlob(16, 1)).ok());
  EXPECT_TRUE(Holds(*tier.remote, key, MakeBlob(16, 1)));
  EXPECT_TRUE(absl::IsAlreadyExists(PutNow(*tier, key, MakeBlob(16, 2))));
  EXPECT_TRUE(Holds(*tier, key, MakeBlob(16, 1)));
  EXPECT_FALSE(LocalHas(tier.local, key));
  const BlobId marker = tiered::MarkerOf(Id("a"));
  EXPECT_TRUE(absl::IsInvalidArgument(PutNow(*tier, marker, MakeBlob(1, 1))));
  EXPECT_TRUE(absl::IsInvalidArgument(GetNow(*tier, marker).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(DeleteNow(*tier, marker)));
}

// ---- pending blobs

TEST(TieredBlobStoreTest, ListsWhatIsPendingBesideWhatIsRemote) {
  auto tier = MemoryTier(NoUploads());
  ASSERT_TRUE(PutNow(*tier.remote, Id("r1"), MakeBlob(10, 1, "r")).ok());
  ASSERT_TRUE(PutNow(*tier.remote, Id("p1"), MakeBlob(10, 1, "other")).ok());
  ASSERT_TRUE(PutNow(*tier, Id("p1"), MakeBlob(20, 2, "p")).ok());
  ASSERT_TRUE(PutNow(*tier, Id("p2"), MakeBlob(30, 3, "p")).ok());
  std::multiset<std::string> all, unshared, prefix;
  ASSERT_TRUE(tier->List([&](BlobInfo info) { all.insert(info.id.name); }).ok());
  EXPECT_EQ(all, (std::multiset<std::string>{"p1", "p2", "r1"}));
  ASSERT_TRUE(tier->ListUnshared([&](BlobInfo info) {
                    unshared.insert(info.id.name);
                    EXPECT_EQ(info.attributes, "p");
                    EXPECT_FALSE(info.lost);
                    EXPECT_EQ(info.footprint,
                              tier->FootprintOf(info.id, MakeBlob(info.size, 0, "p")));
                  })
                  .ok());
  EXPECT_EQ(unshared, (std::multiset<std::string>{"p1", "p2"}));
  tier->ListPrefix(Id("p"), 10, absl::InfiniteFuture(), [&](auto infos) {
    for (const BlobInfo& info : *infos) prefix.insert(info.id.name);
  });
  EXPECT_EQ(prefix, (std::multiset<std::string>{"p1", "p2"}));
  tier->ListPrefix(Id(""), 2, absl::InfiniteFuture(),
                   [&](auto infos) { EXPECT_EQ(infos->size(), 2); });
  for (const auto& [name, size] : {std::pair("p1", 20), std::pair("p2", 30), std::pair("r1", 10)}) {
    tier->Stat(Id(name), absl::InfiniteFuture(),
               [size = size](auto info) { EXPECT_EQ(info->size, size); });
  }
  tier->Stat(Id("none"), absl::InfiniteFuture(),
             [](auto info) { EXPECT_TRUE(absl::IsNotFound(info.status())); });
  EXPECT_EQ(tier->Usage().blobs, 4);
}

TEST(TieredBlobStoreTest, ADeleteTakesBackWhatIsPending) {
  auto tier = MemoryTier(NoUploads());
  ASSERT_TRUE(PutNow(*tier, Id("a"), MakeBlob(100, 1)).ok());
  tier.remote->SetDown(absl::UnavailableError("down"));
  EXPECT_TRUE(absl::IsUnavailable(DeleteNow(*tier, Id("a"))));
  EXPECT_TRUE(Holds(*tier, Id("a"), MakeBlob(100, 1)));
  tier.remote->SetUp();
  EXPECT_TRUE(DeleteNow(*tier, Id("a")).ok());
  EXPECT_EQ(tier->stats().pending_blobs, 0);
  EXPECT_EQ(tier->stats().local_bytes, 0);
  EXPECT_EQ(tier.local->Usage().blobs, 0);
  EXPECT_TRUE(absl::IsNotFound(DeleteNow(*tier, Id("a"))));
}

TEST(TieredBlobStoreTest, ADeleteWaitsForAnUploadUnderWay) {
  auto tier = MemoryTier(FastOptions(kBack));
  tier.remote->Hang();
  ASSERT_TRUE(PutNow(*tier, Id("a"), MakeBlob(100, 1)).ok());
  ASSERT_TRUE(Eventually([&] { return tier.remote->hung_calls() == 1; }));
  auto deleted = DeleteAsync(*tier, Id("a"));
  EXPECT_EQ(deleted.wait_for(std::chrono::milliseconds(10)), std::future_status::timeout);
  tier.remote->Resume();
  EXPECT_TRUE(deleted.get().ok());
  EXPECT_EQ(tier.remote->Usage().blobs, 0);
  EXPECT_EQ(tier.local->Usage().blobs, 0);
}

TEST(TieredBlobStoreTest, ADeleteThatFailsLocallySaysSo) {
  auto tier = MemoryTier(NoUploads());
  ASSERT_TRUE(PutNow(*tier, Id("a"), MakeBlob(100, 1)).ok());
  tier.local->FailNextDelete(absl::UnavailableError("disk"));
  EXPECT_TRUE(absl::IsUnavailable(DeleteNow(*tier, Id("a"))));
  EXPECT_TRUE(Holds(*tier, Id("a"), MakeBlob(100, 1)));
  EXPECT_EQ(tier->stats().pending_blobs, 1);
  EXPECT_TRUE(DeleteNow(*tier, Id("a")).ok());
}

TEST(TieredBlobStoreTest, APendingBlobThatIsDamagedIsDataLossUntilDeleted) {
  auto tier = MemoryTier(FastOptions(kBack));
  // Damaged before its upload can begin: one under way would have read it whole.
  tier.local->HoldCallbacks();
  auto put = PutAsync(*tier, Id("a"), MakeBlob(100, 1));
  ASSERT_TRUE(tier.local->Corrupt(Id("a")));
  tier.local->ReleaseCallbacks();
  ASSERT_TRUE(put.get().ok());
  EXPECT_TRUE(Eventually([&] { return tier->stats().pending_damaged == 1; }));
  EXPECT_TRUE(absl::IsDataLoss(GetNow(*tier, Id("a")).status()));
  EXPECT_TRUE(absl::IsDataLoss(GetNow(*tier, Id("a")).status()));
  EXPECT_TRUE(DeleteNow(*tier, Id("a")).ok());
  EXPECT_TRUE(PutNow(*tier, Id("a"), MakeBlob(100, 1)).ok());
  EXPECT_TRUE(UploadsOf(*tier).ok());
  EXPECT_TRUE(Holds(*tier.remote, Id("a"), MakeBlob(100, 1)));
}

TEST(TieredBlobStoreTest, APendingBlobThatCannotBeReadNowIsNoMiss) {
  auto tier = MemoryTier(NoUploads());
  ASSERT_TRUE(PutNow(*tier, Id("a"), MakeBlob(100, 1)).ok());
  tier.local->FailNextGet(absl::ResourceExhaustedError("busy"));
  EXPECT_TRUE(absl::IsResourceExhausted(GetNow(*tier, Id("a")).status()));
  EXPECT_TRUE(Holds(*tier, Id("a"), MakeBlob(100, 1)));
}

TEST(TieredBlobStoreTest, ABlobThatIsRefusedDoesNotKeepTheOthersBack) {
  auto tier = MemoryTier(FastOptions(kBack));
  for (int i = 0; i < 200; ++i) tier.remote->FailNext(Remote::kPut, absl::AbortedError("no"));
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(PutNow(*tier, Id(std::to_string(i)), MakeBlob(100, i)).ok());
  }
  EXPECT_TRUE(UploadsOf(*tier).ok());
  EXPECT_EQ(tier->stats().upload_failures, 200);
  EXPECT_EQ(tier.remote->Usage().blobs, 50);
}

// ---- capacity

TEST(TieredBlobStoreTest, EvictsTheLeastRecentlyUsedAheadOfNeed) {
  constexpr uint64_t kCapacity = 100 << 10;
  auto tier = MemoryTier(FastOptions(kThrough), kCapacity);
  for (int i = 0; i < 60; ++i) {
    ASSERT_TRUE(PutNow(*tier, Id(std::to_string(i)), MakeBlob(3000, i)).ok());
    ASSERT_TRUE(GetNow(*tier, Id("0")).ok());
    ASSERT_TRUE(Eventually([&] { return tier->stats().local_bytes <= kCapacity / 100 * 95; }));
    EXPECT_LE(tier.local->Usage().used_bytes, kCapacity);
  }
  EXPECT_TRUE(LocalHas(tier.local, Id("0")));
  EXPECT_TRUE(LocalHas(tier.local, Id("59")));
  EXPECT_FALSE(LocalHas(tier.local, Id("1")));
  EXPECT_EQ(tier->stats().fills, 60);
  EXPECT_GT(tier->stats().evictions, 20);
  EXPECT_EQ(tier->stats().local_bytes, tier.local->Usage().used_bytes);
  for (int i = 0; i < 60; ++i) {
    EXPECT_TRUE(Holds(*tier, Id(std::to_string(i)), MakeBlob(3000, i)));
  }
}

TEST(TieredBlobStoreTest, MakesRoomForABlobThatIsLargerThanTheMargin) {
  auto tier = MemoryTier(FastOptions(kThrough), 100 << 10);
  for (int i = 0; i < 30; ++i) {
    ASSERT_TRUE(PutNow(*tier, Id(std::to_string(i)), MakeBlob(3000, i)).ok());
  }
  ASSERT_TRUE(PutNow(*tier.remote, Id("large"), MakeBlob(80000, 99)).ok());
  EXPECT_TRUE(Eventually([&] {
    EXPECT_TRUE(Holds(*tier, Id("large"), MakeBlob(80000, 99)));
    return LocalHas(tier.local, Id("large"));
  }));
}

TEST(TieredBlobStoreTest, WhatIsPendingIsNeverEvicted) {
  constexpr uint64_t kCapacity = 100 << 10;
  auto tier = MemoryTier(NoUploads(), kCapacity);
  std::set<int> pending;
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(PutNow(*tier, Id(std::to_string(i)), MakeBlob(3000, i)).ok());
    if (absl::IsNotFound(GetNow(*tier.remote, Id(std::to_string(i))).status())) pending.insert(i);
    EXPECT_LE(tier.local->Usage().used_bytes, kCapacity);
  }
  EXPECT_GT(pending.size(), 20);
  EXPECT_LT(pending.size(), 40);
  EXPECT_EQ(tier->stats().pending_blobs, pending.size());
  for (const int i : pending) {
    EXPECT_TRUE(Holds(*tier.local, Id(std::to_string(i)), MakeBlob(3000, i)));
  }
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(Holds(*tier, Id(std::to_string(i)), MakeBlob(3000, i)));
  }
}

TEST(TieredBlobStoreTest, AnEvictionThatFailsIsTriedAgain) {
  auto tier = MemoryTier(FastOptions(kThrough), 100 << 10);
  tier.local->FailNextDelete(absl::UnavailableError("disk"));
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(PutNow(*tier, Id(std::to_string(i)), MakeBlob(3000, i)).ok());
  }
  EXPECT_TRUE(Eventually([&] { return tier->stats().local_bytes <= (100 << 10) / 100 * 95; }));
  EXPECT_EQ(tier->stats().local_bytes, tier.local->Usage().used_bytes);
}

TEST(TieredBlobStoreTest, AFullLocalStoreMakesAWriteBackGoThrough) {
  auto tier = MemoryTier(FastOptions(kBack));
  tier.local->FailNextPut(absl::ResourceExhaustedError("full"));
  tier.local->FailNextPut(absl::ResourceExhaustedError("full"));
  ASSERT_TRUE(PutNow(*tier, Id("a"), MakeBlob(100, 1)).ok());
  EXPECT_TRUE(Holds(*tier.remote, Id("a"), MakeBlob(100, 1)));
  EXPECT_EQ(tier->stats().write_throughs, 1);
}

TEST(TieredBlobStoreTest, TheRemoteCapacityHoldsForWhatIsPendingToo) {
  auto tier = MemoryTier(NoUploads(), 0, 1000);
  ASSERT_TRUE(PutNow(*tier.remote, Id("r"), MakeBlob(300, 1)).ok());
  ASSERT_TRUE(PutNow(*tier, Id("a"), MakeBlob(300, 1)).ok());
  ASSERT_TRUE(PutNow(*tier, Id("b"), MakeBlob(200, 2)).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(PutNow(*tier, Id("c"), MakeBlob(300, 3))));
  EXPECT_TRUE(absl::IsAlreadyExists(PutNow(*tier, Id("r"), MakeBlob(300, 3))));
  ASSERT_TRUE(DeleteNow(*tier, Id("a")).ok());
  EXPECT_TRUE(PutNow(*tier, Id("c"), MakeBlob(300, 3)).ok());
}

// ---- limits and the end

TEST(TieredBlobStoreTest, OperationsAndTheirBytesAreBounded) {
  TieredOptions options = FastOptions(kThrough);
  options.max_operations = 4;
  options.max_put_bytes = 250;
  auto tier = MemoryTier(options);
  tier.remote->Hang();
  std::vector<std::future<absl::Status>> calls;
  calls.push_back(PutAsync(*tier, Id("a"), MakeBlob(1000, 1)));  // alone, it may be larger
  EXPECT_TRUE(absl::IsResourceExhausted(PutNow(*tier, Id("b"), MakeBlob(1, 1))));
  auto get = GetAsync(*tier, Id("c"));
  for (int i = 0; i < 6; ++i) calls.push_back(DeleteAsync(*tier, Id("d")));
  EXPECT_TRUE(absl::IsResourceExhausted(GetNow(*tier, Id("c")).status()));
  EXPECT_TRUE(absl::IsResourceExhausted(DeleteNow(*tier, Id("d"))));
  tier.remote->Resume();
  EXPECT_TRUE(calls[0].get().ok());
  for (size_t i = 1; i < calls.size(); ++i) EXPECT_TRUE(absl::IsNotFound(calls[i].get()));
  EXPECT_TRUE(absl::IsNotFound(get.get().status()));
  EXPECT_TRUE(PutNow(*tier, Id("b"), MakeBlob(1, 1)).ok());
}

TEST(TieredBlobStoreTest, ManyWaitersForOneNameAreServedInTurn) {
  TieredOptions options = FastOptions(kThrough);
  auto tier = MemoryTier(options);
  tier.remote->Hang();
  auto put = PutAsync(*tier, Id("a"), MakeBlob(100, 1));
  std::vector<std::future<absl::Status>> others;
  for (int i = 0; i < 4000; ++i) others.push_back(PutAsync(*tier, Id("a"), MakeBlob(1, i)));
  tier.remote->Resume();
  EXPECT_TRUE(put.get().ok());
  for (auto& other : others) EXPECT_TRUE(absl::IsAlreadyExists(other.get()));
}

TEST(TieredBlobStoreTest, CloseWaitsForWhatRunsAndRefusesTheRest) {
  auto tier = MemoryTier(FastOptions(kThrough));
  ASSERT_TRUE(PutNow(*tier.remote, Id("r"), MakeBlob(100, 1)).ok());
  tier.remote->Hang();
  auto get = GetAsync(*tier, Id("r"));
  auto put = PutAsync(*tier, Id("a"), MakeBlob(100, 1));
  auto deleted = DeleteAsync(*tier, Id("r2"));
  auto closed = std::async(std::launch::async, [&] { return tier->Close(); });
  EXPECT_TRUE(Eventually([&] {
    const absl::Time soon = absl::Now() + absl::Milliseconds(5);
    return absl::IsUnavailable(GetAsync(*tier, Id("x"), soon).get().status());
  }));
  EXPECT_EQ(closed.wait_for(std::chrono::milliseconds(10)), std::future_status::timeout);
  tier.remote->Resume();
  EXPECT_TRUE(closed.get().ok());
  EXPECT_TRUE(get.get().ok());
  EXPECT_TRUE(put.get().ok());
  EXPECT_TRUE(absl::IsNotFound(deleted.get()));
  EXPECT_TRUE(absl::IsUnavailable(PutNow(*tier, Id("b"), MakeBlob(1, 1))));
  EXPECT_TRUE(absl::IsUnavailable(tier->ListUnshared([](BlobInfo) {})));
  tier->Stat(Id("a"), absl::InfiniteFuture(),
             [](auto info) { EXPECT_TRUE(absl::IsUnavailable(info.status())); });
  tier->ListPrefix(Id("a"), 1, absl::InfiniteFuture(),
                   [](auto infos) { EXPECT_TRUE(absl::IsUnavailable(infos.status())); });
}

TEST(TieredBlobStoreTest, CloseFromACallbackIsRefused) {
  auto tier = MemoryTier(FastOptions(kThrough));
  absl::Status closed;
  tier->Put(Id("a"), MakeBlob(1, 1), absl::InfiniteFuture(),
            [&](const absl::Status&) { closed = tier->Close(); });
  EXPECT_EQ(closed.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(tier->Close().ok());
}

TEST(TieredBlobStoreTest, CloseUploadsWhatItCanAndLeavesTheRest) {
  auto tier = MemoryTier(FastOptions(kBack));
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(PutNow(*tier, Id(std::to_string(i)), MakeBlob(100, i)).ok());
  }
  EXPECT_TRUE(tier->Close().ok());
  EXPECT_EQ(tier->stats().pending_blobs, 0);

  // A store that is down is not waited for; one that hangs, until the drain's time is over.
  for (const bool hangs : {false, true}) {
    TieredOptions options = FastOptions(kBack);
    options.drain = absl::Milliseconds(100);
    options.upload_timeout = absl::Seconds(1);
    auto other = MemoryTier(options);
    hangs ? other.remote->Hang() : other.remote->SetDown(absl::UnavailableError("down"));
    ASSERT_TRUE(PutNow(*other, Id("a"), MakeBlob(100, 1)).ok());
    const absl::Time start = absl::Now();
    EXPECT_TRUE(other->Close().ok());
    EXPECT_LT(absl::Now() - start, absl::Seconds(20));
    EXPECT_EQ(other->stats().pending_blobs, 1);
  }
}

TEST(TieredBlobStoreTest, FollowsTheRemoteStore) {
  struct Listener : BlobListener {
    void OnChanges(std::span<const BlobChange> changes) override {
      for (const BlobChange& change : changes) names.push_back(change.blob.id.name);
    }
    std::vector<std::string> names;
  } listener;
  auto tier = MemoryTier(FastOptions(kThrough));
  ASSERT_TRUE(PutNow(*tier, Id("a"), MakeBlob(100, 1)).ok());
  EXPECT_FALSE(tier->UpToDate("account", "container"));
  absl::Status followed = absl::UnknownError("");
  tier->Follow("account", "container", &listener, absl::InfiniteFuture(),
               [&](absl::Status status) { followed = std::move(status); });
  EXPECT_TRUE(followed.ok());
  EXPECT_TRUE(tier->UpToDate("account", "container"));
  EXPECT_EQ(listener.names, std::vector<std::string>{"a"});
  EXPECT_TRUE(tier->Close().ok());
}

}  // namespace
}  // namespace kvstore::testing
