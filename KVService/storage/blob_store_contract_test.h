// The contract of blob_store.h as tests, for every store: a test program defines its factories and
// instantiates BlobStoreContractTest with them.
#ifndef KVSERVICE_STORAGE_BLOB_STORE_CONTRACT_TEST_H_
#define KVSERVICE_STORAGE_BLOB_STORE_CONTRACT_TEST_H_

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "KVService/storage/blob_store_testing.h"
#include "absl/time/clock.h"

namespace kvstore::testing {

struct BlobStoreFactory {
  std::string name;
  // A store in an empty directory, bounded by the capacity (0: not).
  std::function<std::unique_ptr<BlobStore>(const std::string& directory, uint64_t capacity)> make;
};

class BlobStoreContractTest : public ::testing::TestWithParam<BlobStoreFactory> {
 protected:
  void SetUp() override { Make(0); }
  void Make(uint64_t capacity) {
    store_.reset();
    directory_ = std::make_unique<TempDir>();
    store_ = GetParam().make(directory_->path(), capacity);
    ASSERT_NE(store_, nullptr);
  }

  std::unique_ptr<TempDir> directory_;  // outlives the store
  std::unique_ptr<BlobStore> store_;
};

TEST_P(BlobStoreContractTest, GivesBackWhatWasPut) {
  for (size_t size : {1, 100, 4095, 4096, 4097, 70000, 1258291}) {
    const Blob blob = MakeBlob(size, size, "attributes of " + std::to_string(size));
    ASSERT_TRUE(PutNow(*store_, Id(std::to_string(size)), blob).ok());
    EXPECT_TRUE(Holds(*store_, Id(std::to_string(size)), blob));
  }
}

TEST_P(BlobStoreContractTest, AMissIsACodeWithoutAMessage) {
  const absl::Status got = GetNow(*store_, Id("absent")).status();
  EXPECT_TRUE(absl::IsNotFound(got));
  EXPECT_TRUE(got.message().empty());
  EXPECT_TRUE(absl::IsNotFound(DeleteNow(*store_, Id("absent"))));
}

TEST_P(BlobStoreContractTest, TheFirstPutWins) {
  const Blob first = MakeBlob(5000, 1, "first");
  ASSERT_TRUE(PutNow(*store_, Id("a"), first).ok());
  const absl::Status second = PutNow(*store_, Id("a"), MakeBlob(6000, 2, "second"));
  EXPECT_TRUE(absl::IsAlreadyExists(second));
  EXPECT_TRUE(second.message().empty());
  EXPECT_TRUE(Holds(*store_, Id("a"), first));
  EXPECT_EQ(store_->Usage().blobs, 1);
}

TEST_P(BlobStoreContractTest, NamesThatJoinAlikeAreDifferent) {
  const std::vector<BlobId> ids = {
      {"a", "b", "c"}, {"a/b", "", "c"}, {"", "a/b", "c"}, {"a", "", "b/c"}, {"ab", "c", ""}};
  for (size_t i = 0; i < ids.size(); ++i) {
    ASSERT_TRUE(PutNow(*store_, ids[i], MakeBlob(100, i)).ok());
  }
  for (size_t i = 0; i < ids.size(); ++i) {
    EXPECT_TRUE(Holds(*store_, ids[i], MakeBlob(100, i)));
  }
}

TEST_P(BlobStoreContractTest, RefusesWhatTheContractExcludes) {
  EXPECT_TRUE(absl::IsInvalidArgument(PutNow(*store_, Id("a"), Blob())));
  EXPECT_TRUE(
      absl::IsInvalidArgument(PutNow(*store_, Id("a"), MakeBlob(1, 1, std::string(65, 'x')))));
  EXPECT_TRUE(absl::IsInvalidArgument(PutNow(*store_, Id(std::string(513, 'n')), MakeBlob(1, 1))));
  EXPECT_TRUE(absl::IsInvalidArgument(PutNow(*store_, Id(std::string("a\0b", 3)), MakeBlob(1, 1))));
  EXPECT_EQ(store_->Usage().blobs, 0);
  const BlobId longest{"a", "b", std::string(510, 'n')};
  EXPECT_TRUE(PutNow(*store_, longest, MakeBlob(1, 1, std::string(64, 'x'))).ok());
  EXPECT_TRUE(Holds(*store_, longest, MakeBlob(1, 1, std::string(64, 'x'))));
}

TEST_P(BlobStoreContractTest, ADeadlineThatPassedIsNoWork) {
  EXPECT_TRUE(absl::IsDeadlineExceeded(
      PutAsync(*store_, Id("a"), MakeBlob(100, 1), absl::InfinitePast()).get()));
  EXPECT_TRUE(absl::IsNotFound(GetNow(*store_, Id("a")).status()));
  ASSERT_TRUE(PutNow(*store_, Id("a"), MakeBlob(100, 1)).ok());
  EXPECT_TRUE(
      absl::IsDeadlineExceeded(GetAsync(*store_, Id("a"), absl::InfinitePast()).get().status()));
}

TEST_P(BlobStoreContractTest, ADeletedBlobIsGoneAndItsNameFree) {
  ASSERT_TRUE(PutNow(*store_, Id("a"), MakeBlob(5000, 1)).ok());
  ASSERT_TRUE(DeleteNow(*store_, Id("a")).ok());
  EXPECT_TRUE(absl::IsNotFound(GetNow(*store_, Id("a")).status()));
  EXPECT_TRUE(absl::IsNotFound(DeleteNow(*store_, Id("a"))));
  EXPECT_EQ(store_->Usage().used_bytes, 0);
  ASSERT_TRUE(PutNow(*store_, Id("a"), MakeBlob(5000, 2)).ok());
  EXPECT_TRUE(Holds(*store_, Id("a"), MakeBlob(5000, 2)));
}

TEST_P(BlobStoreContractTest, ListsEverythingWithItsAttributes) {
  std::map<std::string, BlobInfo> expected;
  for (int i = 0; i < 50; ++i) {
    const Blob blob = MakeBlob(100 + i * 100, i, "a" + std::to_string(i));
    const BlobId id = Id(std::to_string(i));
    ASSERT_TRUE(PutNow(*store_, id, blob).ok());
    expected[id.name] = {id, blob.data.size(), store_->FootprintOf(id, blob), blob.attributes};
  }
  size_t seen = 0;
  uint64_t footprints = 0;
  ASSERT_TRUE(store_
                  ->List([&](BlobInfo info) {
                    const BlobInfo& e = expected[info.id.name];
                    EXPECT_EQ(info.id, e.id);
                    EXPECT_EQ(info.size, e.size);
                    EXPECT_EQ(info.footprint, e.footprint);
                    EXPECT_EQ(info.attributes, e.attributes);
                    footprints += info.footprint;
                    ++seen;
                  })
                  .ok());
  EXPECT_EQ(seen, 50);
  EXPECT_EQ(store_->Usage().blobs, 50);
  EXPECT_EQ(store_->Usage().used_bytes, footprints);
}

TEST_P(BlobStoreContractTest, AListingEndsOnceItIsCancelled) {
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(PutNow(*store_, Id(std::to_string(i)), MakeBlob(100, i)).ok());
  }
  const auto end = std::make_shared<Cancellation>();
  EXPECT_TRUE(store_->ListUntil(end, [](BlobInfo) {}).ok()) << "nobody has cancelled it yet";
  EXPECT_TRUE(absl::IsCancelled(store_->ListUntil(end, [&](BlobInfo) { end->Cancel(); })));
  EXPECT_TRUE(store_->List([](BlobInfo) {}).ok());
}

TEST_P(BlobStoreContractTest, RefusesWhatIsBeyondItsCapacity) {
  constexpr uint64_t kCapacity = 100 << 10;
  Make(kCapacity);
  int stored = 0;
  absl::Status status;
  while ((status = PutNow(*store_, Id(std::to_string(stored)), MakeBlob(10000, stored))).ok()) {
    ASSERT_LT(++stored, 20);
  }
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_GE(stored, 5);
  EXPECT_EQ(store_->Usage().capacity_bytes, kCapacity);
  EXPECT_LE(store_->Usage().used_bytes, kCapacity);
  EXPECT_TRUE(absl::IsNotFound(GetNow(*store_, Id(std::to_string(stored))).status()));
  EXPECT_TRUE(absl::IsAlreadyExists(PutNow(*store_, Id("0"), MakeBlob(10000, 0))));
  ASSERT_TRUE(DeleteNow(*store_, Id("0")).ok());
  EXPECT_TRUE(PutNow(*store_, Id("again"), MakeBlob(10000, 7)).ok());
}

TEST_P(BlobStoreContractTest, OfRacingPutsOneWins) {
  constexpr int kThreads = 8, kNames = 25;
  std::vector<std::atomic<int>> winners(kNames);
  std::vector<std::atomic<int>> winner_of(kNames);
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int n = 0; n < kNames; ++n) {
        const BlobId id = Id(std::to_string(n));
        const absl::Status status = PutNow(*store_, id, MakeBlob(3000 + t, t * 1000 + n));
        if (status.ok()) {
          ++winners[n];
          winner_of[n] = t;
        } else if (!absl::IsAlreadyExists(status) || !GetNow(*store_, id).ok()) {
          ++wrong;  // a loser may rely on the winner's blob
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  for (int n = 0; n < kNames; ++n) {
    EXPECT_EQ(winners[n], 1);
    const int t = winner_of[n];
    EXPECT_TRUE(Holds(*store_, Id(std::to_string(n)), MakeBlob(3000 + t, t * 1000 + n)));
  }
  EXPECT_EQ(store_->Usage().blobs, kNames);
}

TEST_P(BlobStoreContractTest, GetsDuringDeletesSeeAllOrNothing) {
  const Blob blob = MakeBlob(300000, 42);
  std::atomic<bool> stop = false;
  std::atomic<int> wrong = 0;
  std::vector<std::thread> readers;
  for (int r = 0; r < 2; ++r) {
    readers.emplace_back([&] {
      while (!stop) {
        const absl::StatusOr<Blob> got = GetNow(*store_, Id("a"));
        if (got.ok() ? !SameBlob(*got, blob) : !absl::IsNotFound(got.status())) ++wrong;
      }
    });
  }
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(PutNow(*store_, Id("a"), blob).ok());
    EXPECT_TRUE(DeleteNow(*store_, Id("a")).ok());
  }
  stop = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(wrong, 0);
}

// All of one size, so that each may come to lie where another was, and where it was itself before.
TEST_P(BlobStoreContractTest, GetsDuringReplacementsSeeTheirOwnOrNothing) {
  constexpr int kNames = 4, kRounds = 60;
  std::vector<Blob> blobs;
  for (int n = 0; n < kNames; ++n) blobs.push_back(MakeBlob(60000, n));
  std::atomic<bool> stop = false;
  std::atomic<int> wrong = 0;
  std::vector<std::thread> writers, readers;
  for (int t = 0; t < 2; ++t) {
    readers.emplace_back([&, t] {
      for (int i = t; !stop; ++i) {
        const int n = i % kNames;
        const absl::StatusOr<Blob> got = GetNow(*store_, Id(std::to_string(n)));
        if (got.ok() ? !SameBlob(*got, blobs[n]) : !absl::IsNotFound(got.status())) ++wrong;
      }
    });
    writers.emplace_back([&, t] {
      for (int i = 0; i < kRounds; ++i) {
        const int n = t * 2 + i % 2;
        if (!PutNow(*store_, Id(std::to_string(n)), blobs[n]).ok()) ++wrong;
        if (i > 0 && !DeleteNow(*store_, Id(std::to_string(t * 2 + (i + 1) % 2))).ok()) ++wrong;
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  stop = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(store_->Usage().blobs, 2);
}

TEST_P(BlobStoreContractTest, MixedWorkKeepsTheAccountsRight) {
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      uint64_t random = t + 1;
      for (int i = 0; i < 150; ++i) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        const int n = (random >> 33) % 10;
        const BlobId id = Id(std::to_string(n));
        const Blob blob = MakeBlob(2000 * (n + 1), n);
        switch ((random >> 50) % 3) {
          case 0: {
            const absl::Status s = PutNow(*store_, id, blob);
            if (!s.ok() && !absl::IsAlreadyExists(s)) ++wrong;
            break;
          }
          case 1: {
            const absl::Status s = DeleteNow(*store_, id);
            if (!s.ok() && !absl::IsNotFound(s)) ++wrong;
            break;
          }
          default: {
            const absl::StatusOr<Blob> got = GetNow(*store_, id);
            if (got.ok() ? !SameBlob(*got, blob) : !absl::IsNotFound(got.status())) ++wrong;
          }
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  uint64_t blobs = 0, bytes = 0;
  ASSERT_TRUE(store_
                  ->List([&](BlobInfo info) {
                    ++blobs;
                    bytes += info.footprint;
                  })
                  .ok());
  EXPECT_EQ(store_->Usage().blobs, blobs);
  EXPECT_EQ(store_->Usage().used_bytes, bytes);
}

TEST_P(BlobStoreContractTest, ListsTheBlobsWhoseNamesBeginSo) {
  for (const char* name : {"a/1", "a/2", "a/3", "b/1", "a"}) {
    ASSERT_TRUE(PutNow(*store_, Id(name), MakeBlob(3000, 1, "attributes")).ok());
  }
  ASSERT_TRUE(PutNow(*store_, {"account", "other", "a/4"}, MakeBlob(10, 1)).ok());
  const auto names = [&](const char* prefix, size_t limit) {
    std::promise<std::vector<std::string>> promise;
    store_->ListPrefix(Id(prefix), limit, absl::InfiniteFuture(), [&](auto infos) {
      EXPECT_TRUE(infos.ok()) << infos.status();
      std::vector<std::string> found;
      for (const BlobInfo& info : *infos) {
        EXPECT_EQ(info.size, 3000);
        EXPECT_EQ(info.attributes, "attributes");
        found.push_back(info.id.name);
      }
      std::sort(found.begin(), found.end());
      promise.set_value(std::move(found));
    });
    return promise.get_future().get();
  };
  EXPECT_EQ(names("a/", 10), (std::vector<std::string>{"a/1", "a/2", "a/3"}));
  EXPECT_EQ(names("a/", 2).size(), 2);
  EXPECT_EQ(names("b", 10), std::vector<std::string>{"b/1"});
  EXPECT_TRUE(names("c", 10).empty());
}

TEST_P(BlobStoreContractTest, ACallbackMayCallTheStore) {
  std::promise<absl::Status> finished;
  store_->Put(Id("a"), MakeBlob(100, 1), absl::InfiniteFuture(), [&](absl::Status put) {
    ASSERT_TRUE(put.ok());
    store_->Delete(Id("a"), [&](absl::Status s) { finished.set_value(std::move(s)); });
  });
  EXPECT_TRUE(finished.get_future().get().ok());
}

TEST_P(BlobStoreContractTest, CloseFinishesWhatRunsAndRefusesTheRest) {
  std::vector<std::future<absl::Status>> puts;
  for (int i = 0; i < 40; ++i) {
    puts.push_back(PutAsync(*store_, Id(std::to_string(i)), MakeBlob(20000, i)));
  }
  EXPECT_TRUE(store_->Close().ok());
  for (auto& put : puts) {
    ASSERT_EQ(put.wait_for(std::chrono::seconds(0)), std::future_status::ready);
    EXPECT_TRUE(put.get().ok());
  }
  EXPECT_TRUE(absl::IsUnavailable(PutNow(*store_, Id("late"), MakeBlob(1, 1))));
  EXPECT_TRUE(absl::IsUnavailable(GetNow(*store_, Id("0")).status()));
  EXPECT_TRUE(absl::IsUnavailable(DeleteNow(*store_, Id("0"))));
  EXPECT_TRUE(absl::IsUnavailable(store_->List([](BlobInfo) {})));
  EXPECT_EQ(store_->Usage().blobs, 40);
  EXPECT_TRUE(store_->Close().ok());
}

TEST_P(BlobStoreContractTest, AChecksumThatDoesNotFitIsDataLoss) {
  Blob blob = MakeBlob(1000, 1);
  blob.crc32c ^= 1;
  ASSERT_TRUE(PutNow(*store_, Id("a"), blob).ok());
  EXPECT_TRUE(absl::IsDataLoss(GetNow(*store_, Id("a")).status()));
  EXPECT_TRUE(DeleteNow(*store_, Id("a")).ok());
}

}  // namespace kvstore::testing

#endif  // KVSERVICE_STORAGE_BLOB_STORE_CONTRACT_TEST_H_
