#include "KVService/storage/memory/memory_shared_blob_store.h"

#include <atomic>
#include <future>
#include <set>
#include <thread>

#include "KVService/storage/blob_store_testing.h"
#include "absl/time/clock.h"

namespace kvstore::testing {
namespace {

// The names that exist as far as it was told.
class Listener : public BlobListener {
 public:
  void OnChanges(std::span<const BlobChange> changes) override {
    if (inside_.exchange(true)) ++overlaps_;
    for (const BlobChange& change : changes) {
      absl::MutexLock lock(&mutex_);
      change.deleted ? (void)names_.erase(change.blob.id.name)
                     : (void)names_.insert(change.blob.id.name);
    }
    inside_ = false;
  }
  std::set<std::string> names() {
    absl::MutexLock lock(&mutex_);
    return names_;
  }
  bool WaitFor(const std::set<std::string>& names) {
    absl::MutexLock lock(&mutex_);
    const auto there = [&]() { return names_ == names; };
    return mutex_.AwaitWithTimeout(absl::Condition(&there), absl::Seconds(30));
  }
  int overlaps() const { return overlaps_; }

 private:
  std::atomic<bool> inside_ = false;
  std::atomic<int> overlaps_ = 0;
  absl::Mutex mutex_;
  std::set<std::string> names_;
};

using Names = std::set<std::string>;
using Store = MemorySharedBlobStore;

std::future<absl::Status> FollowAsync(SharedBlobStore& store, BlobListener* listener) {
  auto promise = std::make_shared<std::promise<absl::Status>>();
  store.Follow("account", "container", listener, absl::InfiniteFuture(),
               [promise](absl::Status status) { promise->set_value(std::move(status)); });
  return promise->get_future();
}

TEST(MemorySharedBlobStoreTest, TellsWhatIsThereAndThenWhatChangesWhoeverDidIt) {
  Listener listener;
  Store one, other(one.account());
  ASSERT_TRUE(PutNow(other, Id("before"), MakeBlob(10, 1)).ok());
  ASSERT_TRUE(PutNow(other, {"account", "another", "x"}, MakeBlob(10, 1)).ok());
  EXPECT_FALSE(one.UpToDate("account", "container"));
  EXPECT_TRUE(FollowAsync(one, &listener).get().ok());
  EXPECT_TRUE(FollowAsync(one, &listener).get().ok());
  EXPECT_EQ(listener.names(), Names({"before"}));
  ASSERT_TRUE(PutNow(other, Id("theirs"), MakeBlob(10, 2)).ok());
  ASSERT_TRUE(PutNow(one, Id("ours"), MakeBlob(10, 3)).ok());
  ASSERT_TRUE(DeleteNow(other, Id("before")).ok());
  EXPECT_EQ(listener.names(), Names({"ours", "theirs"}));
  EXPECT_TRUE(one.UpToDate("account", "container"));
  EXPECT_TRUE(Holds(one, Id("theirs"), MakeBlob(10, 2)));
}

TEST(MemorySharedBlobStoreTest, TellsLaterWhereToldTo) {
  Listener listener, threaded;
  Store one, two(one.account());
  ASSERT_TRUE(FollowAsync(one, &listener).get().ok());
  two.TellFromThread();
  ASSERT_TRUE(FollowAsync(two, &threaded).get().ok());
  one.PauseTelling();
  ASSERT_TRUE(PutNow(one, Id("a"), MakeBlob(10, 1)).ok());
  EXPECT_EQ(listener.names(), Names());
  EXPECT_FALSE(one.UpToDate("account", "container"));
  EXPECT_TRUE(threaded.WaitFor({"a"}));
  one.ResumeTelling();
  EXPECT_EQ(listener.names(), Names({"a"}));
  EXPECT_TRUE(one.UpToDate("account", "container"));
  one.SetUpToDate(false);
  EXPECT_FALSE(one.UpToDate("account", "container"));
  one.SetUpToDate(std::nullopt);
  EXPECT_TRUE(one.UpToDate("account", "container"));
}

TEST(MemorySharedBlobStoreTest, AFollowThatFailedIsTriedAgain) {
  Listener listener, other;
  Store one, two(one.account());
  ASSERT_TRUE(PutNow(one, Id("a"), MakeBlob(10, 1)).ok());
  one.SetDown(absl::UnavailableError("down"));
  EXPECT_TRUE(absl::IsUnavailable(FollowAsync(one, &listener).get()));
  ASSERT_TRUE(PutNow(two, Id("b"), MakeBlob(10, 2)).ok());
  EXPECT_EQ(listener.names(), Names());
  one.SetUp();
  EXPECT_TRUE(listener.WaitFor({"a", "b"}));
  two.FailNext(Store::kFollow, absl::UnavailableError("once"));
  EXPECT_TRUE(absl::IsUnavailable(FollowAsync(two, &other).get()));
  EXPECT_TRUE(other.WaitFor({"a", "b"}));
}

TEST(MemorySharedBlobStoreTest, NeverTellsTwiceAtOnce) {
  Listener listener;
  Store one, two(one.account());
  ASSERT_TRUE(FollowAsync(one, &listener).get().ok());
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        const BlobId id = Id(std::to_string(t) + "-" + std::to_string(i));
        EXPECT_TRUE(PutNow(t % 2 ? one : two, id, MakeBlob(10, i)).ok());
        if (i == 0) continue;
        EXPECT_TRUE(DeleteNow(t % 2 ? two : one, id).ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(listener.WaitFor({"0-0", "1-0", "2-0", "3-0"}));
  EXPECT_EQ(listener.overlaps(), 0);
}

TEST(MemorySharedBlobStoreTest, StatsAndListsPrefixes) {
  Store store;
  for (const char* name : {"a1", "a2", "a3", "b1"}) {
    ASSERT_TRUE(PutNow(store, Id(name), MakeBlob(10, 1, name)).ok());
  }
  std::promise<absl::StatusOr<BlobInfo>> found, missing;
  store.Stat(Id("a2"), absl::InfiniteFuture(), [&](auto info) { found.set_value(info); });
  store.Stat(Id("a"), absl::InfiniteFuture(), [&](auto info) { missing.set_value(info); });
  const absl::StatusOr<BlobInfo> info = found.get_future().get();
  ASSERT_TRUE(info.ok());
  EXPECT_EQ(info->size, 10);
  EXPECT_EQ(info->attributes, "a2");
  EXPECT_TRUE(absl::IsNotFound(missing.get_future().get().status()));
  for (const auto& [prefix, limit, names] :
       {std::tuple("a", 10, Names{"a1", "a2", "a3"}), std::tuple("a", 2, Names{"a1", "a2"}),
        std::tuple("c", 10, Names{})}) {
    Names listed;
    store.ListPrefix(Id(prefix), limit, absl::InfiniteFuture(), [&](auto infos) {
      for (const BlobInfo& each : *infos) listed.insert(each.id.name);
    });
    EXPECT_EQ(listed, names);
  }
  EXPECT_TRUE(store.ListUnshared([](BlobInfo) { FAIL(); }).ok());
  EXPECT_EQ(store.count(Store::kStat), 2);
  EXPECT_EQ(store.count(Store::kListPrefix), 3);
  EXPECT_EQ(store.count(Store::kPut), 4);
}

TEST(MemorySharedBlobStoreTest, FailsOneCallOrAll) {
  Store store, other(store.account());
  store.FailNext(Store::kPut, absl::UnavailableError("once"));
  EXPECT_TRUE(absl::IsUnavailable(PutNow(store, Id("a"), MakeBlob(10, 1))));
  EXPECT_TRUE(PutNow(store, Id("a"), MakeBlob(10, 1)).ok());
  store.SetDown(absl::UnavailableError("down"));
  EXPECT_TRUE(absl::IsUnavailable(GetNow(store, Id("a")).status()));
  EXPECT_TRUE(absl::IsUnavailable(DeleteNow(store, Id("a"))));
  EXPECT_TRUE(absl::IsUnavailable(store.List([](BlobInfo) {})));
  EXPECT_TRUE(Holds(other, Id("a"), MakeBlob(10, 1)));
  store.SetUp();
  EXPECT_TRUE(Holds(store, Id("a"), MakeBlob(10, 1)));
  EXPECT_TRUE(store.account()->Corrupt(Id("a")));
  EXPECT_TRUE(absl::IsDataLoss(GetNow(store, Id("a")).status()));
}

TEST(MemorySharedBlobStoreTest, AHungCallHasNoEffectUntilItRuns) {
  Store store, other(store.account());
  store.Hang();
  auto put = PutAsync(store, Id("a"), MakeBlob(10, 1));
  auto late = PutAsync(store, Id("b"), MakeBlob(10, 1), absl::Now() + absl::Milliseconds(30));
  EXPECT_TRUE(absl::IsDeadlineExceeded(late.get()));
  EXPECT_EQ(store.hung_calls(), 1);
  EXPECT_TRUE(absl::IsNotFound(GetNow(other, Id("a")).status()));
  store.Resume();
  EXPECT_TRUE(put.get().ok());
  EXPECT_TRUE(Holds(other, Id("a"), MakeBlob(10, 1)));
  EXPECT_TRUE(absl::IsNotFound(GetNow(other, Id("b")).status()));
  store.Hang();
  auto get = GetAsync(store, Id("a"));
  EXPECT_TRUE(store.Close().ok());
  EXPECT_TRUE(absl::IsUnavailable(get.get().status()));
  EXPECT_TRUE(Holds(other, Id("a"), MakeBlob(10, 1)));
}

TEST(MemorySharedBlobStoreTest, AHeldCallHasHadItsEffect) {
  Store store, other(store.account());
  store.HoldCallbacks();
  auto put = PutAsync(store, Id("a"), MakeBlob(10, 1));
  EXPECT_EQ(store.held_callbacks(), 1);
  EXPECT_EQ(put.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  EXPECT_TRUE(Holds(other, Id("a"), MakeBlob(10, 1)));
  store.ReleaseCallbacks();
  EXPECT_TRUE(put.get().ok());
}

}  // namespace
}  // namespace kvstore::testing
