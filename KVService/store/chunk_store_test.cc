#include "KVService/store/chunk_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "KVService/storage/memory/memory_blob_store.h"
#include "KVService/store/chunk_identity.h"
#include "KVService/store/chunk_store_testing.h"

namespace kvstore {
namespace {

class ChunkStoreTest : public testing::Test {
 protected:
  void Open(uint64_t capacity = 0, ChunkStoreOptions options = {}) {
    auto storage = std::make_unique<MemoryBlobStore>(capacity);
    storage_ = storage.get();
    absl::StatusOr<std::unique_ptr<ChunkStore>> store =
        ChunkStore::Open(options, std::move(storage));
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = std::move(*store);
  }

  // A write whose outcome comes later.
  struct Pending {
    absl::Notification done;
    absl::StatusOr<ChunkStore::WriteResult> result;
  };
  std::shared_ptr<Pending> StartWrite(const TestChunk& chunk) {
    auto pending = std::make_shared<Pending>();
    store_->Write(kTestContainer, WireChunk(chunk), Encoded(chunk), Soon(),
                  [pending](auto outcome) {
                    pending->result = std::move(outcome);
                    pending->done.Notify();
                  });
    return pending;
  }

  // The blob of the only block stored that bears this hash.
  BlobId BlobBearing(uint64_t hash) {
    BlobId id;
    const absl::Status listed = storage_->List([&](BlobInfo info) {
      const std::optional<NamedBlock> block = ParseBlobName(info.id.name);
      if (block && block->version.hash == hash) id = info.id;
    });
    EXPECT_TRUE(listed.ok()) << listed;
    return id;
  }

  MemoryBlobStore* storage_ = nullptr;
  std::unique_ptr<ChunkStore> store_;
};

ChunkStoreOptions NoMemory() { return {.memory_bytes = 0}; }

TEST_F(ChunkStoreTest, WritesLooksUpAndReads) {
  Open();
  const TestChunk first{.hash = 1, .tokens = BlockOf(10), .buffer = "one"};
  const TestChunk second{.hash = 2, .parent = 1, .tokens = BlockOf(20), .buffer = "two"};
  EXPECT_TRUE(WriteNow(*store_, first)->stored);
  EXPECT_TRUE(WriteNow(*store_, second)->stored);
  EXPECT_FALSE(WriteNow(*store_, second)->stored) << "there already";
  const auto found = LookupNow(*store_, PromptOf({10, 20, 30}));
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(BufferOf(ReadNow(*store_, found[1].location)->chunk), "two");
  EXPECT_EQ(store_->stats().blocks, 2u);
}

TEST_F(ChunkStoreTest, TellsHowLargeABlockIsAndWhereItLies) {
  const TestChunk large{.hash = 1, .tokens = BlockOf(10), .buffer = std::string(100'000, 'x')};
  Open();
  ASSERT_TRUE(WriteNow(*store_, large).ok());
  auto found = LookupNow(*store_, PromptOf({10}));
  ASSERT_EQ(found.size(), 1u);
  EXPECT_GE(found[0].size, Encoded(large).size());
  EXPECT_LE(found[0].size, Encoded(large).size() + 8192);
  EXPECT_EQ(found[0].tier, wire::BlockTier::kRam);
  Open(0, NoMemory());
  ASSERT_TRUE(WriteNow(*store_, large).ok());
  found = LookupNow(*store_, PromptOf({10}));
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].tier, wire::BlockTier::kDisk);
}

TEST_F(ChunkStoreTest, RefusesBadChunks) {
  Open();
  const TestChunk good{.hash = 1, .tokens = BlockOf(1)};
  TestChunk bad = good;
  bad.tokens.pop_back();
  EXPECT_EQ(WriteNow(*store_, bad).status().code(), absl::StatusCode::kInvalidArgument);
  bad = good;
  bad.buffer = "";
  EXPECT_EQ(WriteNow(*store_, bad).status().code(), absl::StatusCode::kInvalidArgument);
  bad = good;
  bad.partition = std::string(kMaxNameBytes + 1, 'p');
  EXPECT_EQ(WriteNow(*store_, bad).status().code(), absl::StatusCode::kInvalidArgument);
  wire::Chunk large = WireChunk(good);
  large.buffer.size = kMaxBufferBytes + 1;
  EXPECT_EQ(ValidateChunk(large).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(store_->stats().blocks, 0u);
}

TEST_F(ChunkStoreTest, ABlockIsNotFoundBeforeItsWriteIsDone) {
  Open();
  storage_->HoldCallbacks();
  const auto pending = StartWrite({.hash = 1, .tokens = BlockOf(1)});
  EXPECT_FALSE(pending->done.HasBeenNotified());
  EXPECT_TRUE(LookupNow(*store_, BlockOf(1)).empty());
  storage_->ReleaseCallbacks();
  EXPECT_TRUE(pending->done.HasBeenNotified());
  EXPECT_EQ(LookupNow(*store_, BlockOf(1)).size(), 1u);
}

TEST_F(ChunkStoreTest, ConcurrentWritersOfOneVersionShareOneOutcome) {
  Open();
  storage_->HoldCallbacks();
  std::vector<std::shared_ptr<Pending>> all;
  for (int i = 0; i < 10; ++i) {
    all.push_back(StartWrite({.hash = 1, .tokens = BlockOf(1), .buffer = std::to_string(i)}));
  }
  EXPECT_EQ(storage_->held_callbacks(), 1u) << "one put for all of them";
  storage_->ReleaseCallbacks();
  int stored = 0;
  for (const auto& pending : all) {
    ASSERT_TRUE(pending->done.HasBeenNotified());
    ASSERT_TRUE(pending->result.ok());
    stored += pending->result->stored;
  }
  EXPECT_EQ(stored, 1);
  const auto found = LookupNow(*store_, BlockOf(1));
  EXPECT_EQ(BufferOf(ReadNow(*store_, found[0].location)->chunk), "0");
}

TEST_F(ChunkStoreTest, AFailedWriterLetsTheNextOneTry) {
  Open(0, NoMemory());
  storage_->FailNextPut(absl::UnavailableError("the disk is gone"));
  storage_->HoldCallbacks();
  const auto first = StartWrite({.hash = 1, .tokens = BlockOf(1), .buffer = "first"});
  const auto second = StartWrite({.hash = 1, .tokens = BlockOf(1), .buffer = "second"});
  storage_->ReleaseCallbacks();
  ASSERT_TRUE(first->done.HasBeenNotified() && second->done.HasBeenNotified());
  EXPECT_EQ(first->result.status().code(), absl::StatusCode::kUnavailable);
  ASSERT_TRUE(second->result.ok()) << second->result.status();
  const auto found = LookupNow(*store_, BlockOf(1));
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(BufferOf(ReadNow(*store_, found[0].location)->chunk), "second");
}

TEST_F(ChunkStoreTest, AFailedWriteStoresNothingAndSaysWhy) {
  Open();
  storage_->FailNextPut(absl::UnavailableError("the disk is gone"));
  const auto result = WriteNow(*store_, {.hash = 1, .tokens = BlockOf(1)});
  EXPECT_EQ(result.status(), absl::UnavailableError("the disk is gone"));
  EXPECT_TRUE(LookupNow(*store_, BlockOf(1)).empty());
  EXPECT_TRUE(WriteNow(*store_, {.hash = 1, .tokens = BlockOf(1)})->stored);
}

TEST_F(ChunkStoreTest, ConcurrentReadsOfOneBlockShareOneFetch) {
  Open(0, NoMemory());
  WriteNow(*store_, {.hash = 1, .tokens = BlockOf(1), .buffer = "b"}).IgnoreError();
  const std::string location = LookupNow(*store_, BlockOf(1))[0].location;
  storage_->HoldCallbacks();
  int answered = 0;
  for (int i = 0; i < 5; ++i) {
    store_->Read(kTestContainer, location, Soon(),
                 [&](auto result) { answered += result.ok() && BufferOf(result->chunk) == "b"; });
  }
  EXPECT_EQ(storage_->held_callbacks(), 1u);
  storage_->ReleaseCallbacks();
  EXPECT_EQ(answered, 5);
}

TEST_F(ChunkStoreTest, AReadFillsTheRamTier) {
  Open();
  WriteNow(*store_, {.hash = 1, .tokens = BlockOf(1)}).IgnoreError();
  const std::string location = LookupNow(*store_, BlockOf(1))[0].location;
  storage_->FailNextGet(absl::UnavailableError("not to be asked"));
  EXPECT_TRUE(ReadNow(*store_, location).ok()) << "a write fills it too";
  EXPECT_EQ(store_->stats().ram.hits, 1u);
}

TEST_F(ChunkStoreTest, AStorageErrorIsNotAMiss) {
  Open(0, NoMemory());
  WriteNow(*store_, {.hash = 1, .tokens = BlockOf(1)}).IgnoreError();
  const std::string location = LookupNow(*store_, BlockOf(1))[0].location;
  storage_->FailNextGet(absl::UnavailableError("where and what"));
  EXPECT_EQ(ReadNow(*store_, location).status(), absl::UnavailableError("where and what"));
  EXPECT_EQ(LookupNow(*store_, BlockOf(1)).size(), 1u);
  EXPECT_TRUE(ReadNow(*store_, location).ok());
}

TEST_F(ChunkStoreTest, ACorruptChunkIsAMissAndRemovedAndHealed) {
  Open(0, NoMemory());
  const TestChunk chunk{.hash = 1, .tokens = BlockOf(1), .buffer = "whole"};
  WriteNow(*store_, chunk).IgnoreError();
  const std::string location = LookupNow(*store_, BlockOf(1))[0].location;
  ASSERT_TRUE(storage_->Corrupt(BlobBearing(1)));
  EXPECT_TRUE(absl::IsNotFound(ReadNow(*store_, location).status()));
  EXPECT_EQ(store_->stats().corrupt_chunks, 1u);
  EXPECT_TRUE(LookupNow(*store_, BlockOf(1)).empty());
  EXPECT_EQ(storage_->Usage().blobs, 1u) << "the location key alone";
  EXPECT_TRUE(WriteNow(*store_, chunk)->stored);
  EXPECT_EQ(BufferOf(ReadNow(*store_, location)->chunk), "whole");
}

TEST_F(ChunkStoreTest, ABlockThatIsGoneFromStorageIsForgotten) {
  Open(0, NoMemory());
  const TestChunk chunk{.hash = 1, .tokens = BlockOf(1)};
  WriteNow(*store_, chunk).IgnoreError();
  const std::string location = LookupNow(*store_, BlockOf(1))[0].location;
  storage_->Delete(BlobBearing(1), [](absl::Status) {});
  EXPECT_TRUE(absl::IsNotFound(ReadNow(*store_, location).status()));
  EXPECT_TRUE(LookupNow(*store_, BlockOf(1)).empty()) << "no client loops on it";
}

TEST_F(ChunkStoreTest, KeepsToTheCapacityByGivingUpTheColdest) {
  const TestChunk probe{.hash = 1, .tokens = BlockOf(1), .buffer = std::string(10'000, 'x')};
  MemoryBlobStore measure;
  const uint64_t footprint = measure.FootprintOf({"a", "b", std::string(122, 'n')},
                                                 {Encoded(probe), 0, std::string(17, 'a')});
  Open(20 * footprint, NoMemory());
  for (uint64_t i = 0; i < 100; ++i) {
    TestChunk chunk = probe;
    chunk.hash = i;
    chunk.tokens = BlockOf(static_cast<Token>(i));
    ASSERT_TRUE(WriteNow(*store_, chunk).ok());
    ASSERT_LE(storage_->Usage().used_bytes, storage_->Usage().capacity_bytes);
  }
  EXPECT_GE(store_->stats().blocks, 15u);
  EXPECT_EQ(LookupNow(*store_, BlockOf(99)).size(), 1u);
  EXPECT_TRUE(LookupNow(*store_, BlockOf(0)).empty());
  EXPECT_EQ(store_->stats().evicted_chunks + store_->stats().blocks, 100u);
}

TEST_F(ChunkStoreTest, APromptWrittenAgainIsStillGivenUpFromItsEnd) {
  const auto block = [](uint64_t hash, uint64_t parent) {
    return TestChunk{.hash = hash,
                     .parent = parent,
                     .tokens = BlockOf(static_cast<Token>(hash)),
                     .buffer = std::string(10'000, 'x')};
  };
  MemoryBlobStore measure;
  const uint64_t footprint = measure.FootprintOf({"a", "b", std::string(122, 'n')},
                                                 {Encoded(block(1, 0)), 0, std::string(17, 'a')});
  Open(7 * footprint, NoMemory());
  for (int round = 0; round < 2; ++round) {
    for (uint64_t hash = 1; hash <= 4; ++hash)
      ASSERT_TRUE(WriteNow(*store_, block(hash, hash - 1)).ok());
  }
  for (uint64_t hash = 11; hash <= 14; ++hash) ASSERT_TRUE(WriteNow(*store_, block(hash, 0)).ok());
  const size_t left = LookupNow(*store_, PromptOf({1, 2, 3, 4})).size();
  EXPECT_GE(left, 1u);
  EXPECT_LT(left, 4u);
}

TEST_F(ChunkStoreTest, AParentStaysWhereItsChildCannotBeDeleted) {
  Open(0, NoMemory());
  WriteNow(*store_, {.hash = 1, .tokens = BlockOf(1)}).IgnoreError();
  WriteNow(*store_, {.hash = 2, .parent = 1, .tokens = BlockOf(2)}).IgnoreError();
  const auto found = LookupNow(*store_, PromptOf({1, 2}));
  ASSERT_TRUE(storage_->Corrupt(BlobBearing(1)));
  storage_->FailNextDelete(absl::UnavailableError("the disk is gone"));
  EXPECT_TRUE(absl::IsNotFound(ReadNow(*store_, found[0].location).status()));
  EXPECT_EQ(storage_->Usage().blobs, 3u) << "both blocks and the location key";
  EXPECT_TRUE(LookupNow(*store_, PromptOf({1, 2})).empty());
}

TEST_F(ChunkStoreTest, WhatAnEvictionCannotDeleteStaysKnown) {
  const TestChunk first{.hash = 1, .tokens = BlockOf(1), .buffer = std::string(10'000, 'a')};
  MemoryBlobStore measure;
  const uint64_t footprint = measure.FootprintOf({"a", "b", std::string(122, 'n')},
                                                 {Encoded(first), 0, std::string(17, 'a')});
  Open(footprint + footprint / 2, NoMemory());
  ASSERT_TRUE(WriteNow(*store_, first).ok());
  TestChunk second = first;
  second.hash = 2;
  second.tokens = BlockOf(2);
  storage_->FailNextDelete(absl::UnavailableError("the disk is gone"));
  EXPECT_TRUE(absl::IsUnavailable(WriteNow(*store_, second).status()));
  const auto found = LookupNow(*store_, BlockOf(1));
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(BufferOf(ReadNow(*store_, found[0].location)->chunk), first.buffer);
  // And it is evicted when the disk is back.
  ASSERT_TRUE(WriteNow(*store_, second).ok());
  EXPECT_TRUE(LookupNow(*store_, BlockOf(1)).empty());
}

// Room ahead of need is made for nobody in particular: where it cannot be, it waits for a next
// write.
TEST_F(ChunkStoreTest, AnEvictionThatCannotDeleteIsNotTriedOnAndOn) {
  Open(1 << 20, NoMemory());
  uint64_t hash = 0;
  const auto write_next = [&] {
    ++hash;
    return WriteNow(*store_, {.hash = hash, .tokens = BlockOf(static_cast<Token>(hash))}).status();
  };
  while (store_->stats().evicted_chunks == 0) ASSERT_TRUE(write_next().ok());
  for (int i = 0; i < 100; ++i) storage_->FailNextDelete(absl::UnavailableError("read-only"));
  size_t left = 100;
  for (int i = 0; i < 100 && left == 100; ++i) {
    write_next().IgnoreError();
    left = storage_->delete_failures_left();
  }
  EXPECT_LT(left, 100u);
  EXPECT_GE(left, 95u);
}

TEST_F(ChunkStoreTest, AChunkThatNeverFitsIsRefusedClearly) {
  Open(20'000, NoMemory());
  const auto result =
      WriteNow(*store_, {.hash = 1, .tokens = BlockOf(1), .buffer = std::string(50'000, 'x')});
  EXPECT_EQ(result.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(result.status().message()), testing::HasSubstr("--capacity"));
  EXPECT_TRUE(WriteNow(*store_, {.hash = 1, .tokens = BlockOf(1)}).ok());
}

// The write must not be acknowledged on the strength of a blob that is about to be deleted.
TEST_F(ChunkStoreTest, AWriteOfABlockBeingEvictedWaitsForTheDeletion) {
  const TestChunk old{.hash = 1, .tokens = BlockOf(1), .buffer = std::string(10'000, 'o')};
  MemoryBlobStore measure;
  const uint64_t footprint = measure.FootprintOf({"a", "b", std::string(122, 'n')},
                                                 {Encoded(old), 0, std::string(17, 'a')});
  Open(3 * footprint, NoMemory());
  ASSERT_TRUE(WriteNow(*store_, old).ok());
  TestChunk other = old;
  other.hash = 2;
  other.tokens = BlockOf(2);
  ASSERT_TRUE(WriteNow(*store_, other).ok());
  storage_->HoldCallbacks();
  TestChunk third = old;
  third.hash = 3;
  third.tokens = BlockOf(3);
  const auto evicting = StartWrite(third);
  ASSERT_TRUE(LookupNow(*store_, BlockOf(1)).empty()) << "the coldest is on its way out";
  const auto again = StartWrite(old);
  EXPECT_FALSE(again->done.HasBeenNotified());
  storage_->ReleaseCallbacks();
  ASSERT_TRUE(evicting->done.HasBeenNotified() && again->done.HasBeenNotified());
  ASSERT_TRUE(evicting->result.ok() && again->result.ok());
  const auto found = LookupNow(*store_, BlockOf(1));
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(BufferOf(ReadNow(*store_, found[0].location)->chunk), old.buffer);
}

// Two prefixes, one hash: when the one goes, what hung on it must not be found behind the other.
TEST_F(ChunkStoreTest, AChildByParentIsNeverFoundBehindAnotherBlockOfItsParentsHash) {
  Open(0, NoMemory());
  WriteNow(*store_, {.hash = 1, .tokens = BlockOf(1)}).IgnoreError();
  WriteNow(*store_, {.hash = 2, .tokens = BlockOf(2)}).IgnoreError();
  WriteNow(*store_, {.hash = 50, .parent = 1, .tokens = BlockOf(5)}).IgnoreError();
  WriteNow(*store_, {.hash = 60, .parent = 50, .tokens = BlockOf(6)}).IgnoreError();
  ASSERT_EQ(LookupNow(*store_, PromptOf({1, 5, 6})).size(), 3u);
  const auto found = LookupNow(*store_, PromptOf({1, 5}));
  storage_->Delete(BlobBearing(50), [](absl::Status) {});
  EXPECT_TRUE(absl::IsNotFound(ReadNow(*store_, found[1].location).status()));
  WriteNow(*store_, {.hash = 50, .parent = 2, .tokens = BlockOf(5)}).IgnoreError();
  EXPECT_EQ(LookupNow(*store_, PromptOf({2, 5, 6})).size(), 2u);
}

TEST_F(ChunkStoreTest, TooMuchBeingWrittenIsRefusedAndPasses) {
  Open(0, {.memory_bytes = 0, .max_pending_write_bytes = 5'000});
  storage_->HoldCallbacks();
  const auto first =
      StartWrite({.hash = 1, .tokens = BlockOf(1), .buffer = std::string(4'000, 'x')});
  const auto second =
      StartWrite({.hash = 2, .tokens = BlockOf(2), .buffer = std::string(4'000, 'x')});
  ASSERT_TRUE(second->done.HasBeenNotified());
  EXPECT_EQ(second->result.status().code(), absl::StatusCode::kResourceExhausted);
  storage_->ReleaseCallbacks();
  EXPECT_TRUE(first->result.ok());
  EXPECT_TRUE(
      WriteNow(*store_, {.hash = 2, .tokens = BlockOf(2), .buffer = std::string(4'000, 'x')}).ok());
  EXPECT_EQ(store_->stats().pending_write_bytes, 0u);
}

TEST_F(ChunkStoreTest, ADeadlineThatPassedReadsNothingFromStorage) {
  Open(0, NoMemory());
  WriteNow(*store_, {.hash = 1, .tokens = BlockOf(1)}).IgnoreError();
  const std::string location = LookupNow(*store_, BlockOf(1))[0].location;
  absl::Status status;
  store_->Read(kTestContainer, location, absl::InfinitePast(),
               [&](auto result) { status = result.status(); });
  EXPECT_TRUE(absl::IsDeadlineExceeded(status));
}

TEST_F(ChunkStoreTest, AfterCloseCallsFailAndSayWhy) {
  Open();
  WriteNow(*store_, {.hash = 1, .tokens = BlockOf(1)}).IgnoreError();
  const std::string location = LookupNow(*store_, BlockOf(1))[0].location;
  ASSERT_TRUE(store_->Close().ok());
  EXPECT_TRUE(absl::IsUnavailable(ReadNow(*store_, location).status()));
  EXPECT_TRUE(absl::IsUnavailable(WriteNow(*store_, {.hash = 2, .tokens = BlockOf(2)}).status()));
}

TEST_F(ChunkStoreTest, CloseWaitsForWhatRuns) {
  Open();
  storage_->HoldCallbacks();
  const auto pending = StartWrite({.hash = 1, .tokens = BlockOf(1)});
  std::thread closer([this] { EXPECT_TRUE(store_->Close().ok()); });
  storage_->ReleaseCallbacks();
  closer.join();
  EXPECT_TRUE(pending->done.HasBeenNotified());
}

TEST_F(ChunkStoreTest, APartitionHoldsNoMoreThanItsQuota) {
  Open();
  const auto chunk = [](uint64_t hash, const std::string& partition) {
    return TestChunk{.partition = partition,
                     .hash = hash,
                     .tokens = BlockOf(static_cast<Token>(hash)),
                     .buffer = std::string(100'000, 'x')};
  };
  constexpr uint64_t kQuota = 350'000;
  for (uint64_t hash = 1; hash <= 3; ++hash) {
    ASSERT_TRUE(WriteNow(*store_, chunk(hash, "p"), kQuota).ok()) << hash;
  }
  const auto refused = WriteNow(*store_, chunk(4, "p"), kQuota);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.status().message()),
              testing::HasSubstr("350000 bytes of its quota"));
  EXPECT_FALSE(WriteNow(*store_, chunk(2, "p"), kQuota)->stored) << "what is there takes no more";
  EXPECT_TRUE(WriteNow(*store_, chunk(4, "q"), kQuota).ok()) << "another's";
  EXPECT_TRUE(WriteNow(*store_, chunk(4, "p")).ok()) << "who has no quota";
  EXPECT_FALSE(WriteNow(*store_, chunk(5, "p"), kQuota).ok());
  // What goes makes room.
  store_->RemoveDamaged(BlobBearing(1));
  store_->RemoveDamaged(BlobBearing(2));
  EXPECT_TRUE(WriteNow(*store_, chunk(5, "p"), kQuota).ok());
}

TEST_F(ChunkStoreTest, WritesUnderWayCountAgainstAQuota) {
  Open();
  storage_->HoldCallbacks();
  std::vector<std::shared_ptr<Pending>> writes;
  for (uint64_t hash = 1; hash <= 5; ++hash) {
    auto pending = std::make_shared<Pending>();
    const TestChunk chunk{.hash = hash,
                          .tokens = BlockOf(static_cast<Token>(hash)),
                          .buffer = std::string(100'000, 'x')};
    store_->Write(
        kTestContainer, WireChunk(chunk), Encoded(chunk), Soon(),
        [pending](auto outcome) {
          pending->result = std::move(outcome);
          pending->done.Notify();
        },
        350'000);
    writes.push_back(pending);
  }
  storage_->ReleaseCallbacks();
  for (size_t i = 0; i < writes.size(); ++i) {
    writes[i]->done.WaitForNotification();
    EXPECT_EQ(writes[i]->result.ok(), i < 3) << i;
  }
}

TEST_F(ChunkStoreTest, AnAccountHoldsNoMoreThanItsQuota) {
  ChunkStoreOptions options;
  options.account_quota = [](const Container& container) -> uint64_t {
    return container.account == kTestContainer.account ? 250'000 : 0;
  };
  Open(0, options);
  const auto chunk = [](uint64_t hash, const std::string& partition) {
    return TestChunk{.partition = partition,
                     .hash = hash,
                     .tokens = BlockOf(static_cast<Token>(hash)),
                     .buffer = std::string(100'000, 'x')};
  };
  EXPECT_TRUE(WriteNow(*store_, chunk(1, "p")).ok());
  EXPECT_TRUE(WriteNow(*store_, chunk(2, "q")).ok());
  const auto refused = WriteNow(*store_, chunk(3, "r"));
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.status().message()), testing::StartsWith("the account holds"));
}

TEST_F(ChunkStoreTest, FetchesBeyondTheirBytesWaitForOthersToEnd) {
  ChunkStoreOptions options = NoMemory();
  options.max_fetch_bytes = 250'000;
  Open(0, options);
  std::vector<std::string> locations;
  for (uint64_t hash = 1; hash <= 5; ++hash) {
    const TestChunk chunk{.hash = hash,
                          .tokens = BlockOf(static_cast<Token>(hash)),
                          .buffer = std::string(100'000, static_cast<char>('a' + hash))};
    ASSERT_TRUE(WriteNow(*store_, chunk).ok());
    locations.push_back(LookupNow(*store_, chunk.tokens, {hash}).front().location);
  }
  storage_->HoldCallbacks();
  std::vector<std::string> answers(locations.size());
  for (size_t i = 0; i < locations.size(); ++i) {
    store_->Read(kTestContainer, locations[i], Soon(), [&answers, i](auto result) {
      ASSERT_TRUE(result.ok()) << result.status();
      answers[i] = BufferOf(result->chunk);
    });
  }
  EXPECT_EQ(storage_->held_callbacks(), 2);
  storage_->ReleaseCallbacks();
  for (size_t i = 0; i < answers.size(); ++i) {
    EXPECT_EQ(answers[i], std::string(100'000, static_cast<char>('b' + i))) << i;
  }
}

TEST_F(ChunkStoreTest, AReadThatNobodyWaitsForEndsAtOnce) {
  Open(0, NoMemory());
  const TestChunk chunk{.hash = 1, .tokens = BlockOf(1), .buffer = "one"};
  ASSERT_TRUE(WriteNow(*store_, chunk).ok());
  const std::string location = LookupNow(*store_, chunk.tokens, {1}).front().location;
  storage_->HoldCallbacks();
  std::vector<absl::StatusOr<ChunkStore::ReadResult>> results(3, absl::UnknownError("none yet"));
  std::vector<uint64_t> reads;
  for (auto& result : results) {
    reads.push_back(store_->Read(kTestContainer, location, Soon(),
                                 [&result](auto outcome) { result = std::move(outcome); }));
  }
  store_->Abandon(reads[1]);
  EXPECT_TRUE(absl::IsCancelled(results[1].status()));
  EXPECT_TRUE(absl::IsUnknown(results[0].status())) << "the others wait on";
  store_->Abandon(reads[1]);
  store_->Abandon(12345);
  storage_->ReleaseCallbacks();
  EXPECT_EQ(BufferOf(results[0]->chunk), "one");
  EXPECT_EQ(BufferOf(results[2]->chunk), "one");
  store_->Abandon(reads[0]);
}

// As a storage that takes long: it gives up what is cancelled.
class SlowStore : public MemoryBlobStore {
 public:
  using MemoryBlobStore::MemoryBlobStore;
  void Get(BlobId id, Patience patience,
           absl::AnyInvocable<void(absl::StatusOr<Blob>) &&> done) override {
    ++gets;
    if (!slow) return MemoryBlobStore::Get(std::move(id), std::move(patience), std::move(done));
    auto shared = std::make_shared<decltype(done)>(std::move(done));
    patience.cancellation->OnCancel([this, shared]() mutable {
      ++cancelled;
      answer = [shared] { (std::move(*shared))(absl::UnavailableError("cancelled, as asked")); };
      if (!late) std::exchange(answer, nullptr)();
    });
  }

  bool slow = false;
  bool late = false;  // what is cancelled ends only when `answer` is called
  std::function<void()> answer;
  int gets = 0;
  int cancelled = 0;
};

TEST(ChunkStoreCancellationTest, TheLastReadThatIsAbandonedEndsTheStoragesWork) {
  auto storage = std::make_unique<SlowStore>();
  SlowStore& slow = *storage;
  ChunkStoreOptions options = NoMemory();
  options.max_fetch_bytes = 1;  // one at a time
  auto store = *ChunkStore::Open(options, std::move(storage));
  std::vector<std::string> locations;
  for (uint64_t hash : {1, 2}) {
    const TestChunk chunk{.hash = hash, .tokens = BlockOf(static_cast<Token>(hash))};
    ASSERT_TRUE(WriteNow(*store, chunk).ok());
    locations.push_back(LookupNow(*store, chunk.tokens, {hash}).front().location);
  }
  slow.slow = true;
  slow.gets = 0;
  std::vector<absl::Status> ends(4, absl::UnknownError("runs"));
  const auto read = [&](const std::string& location, absl::Status* end) {
    return store->Read(kTestContainer, location, Soon(),
                       [end](const auto& outcome) { *end = outcome.status(); });
  };
  const uint64_t first = read(locations[0], &ends[0]), second = read(locations[0], &ends[1]);
  const uint64_t waiting = read(locations[1], &ends[2]);
  EXPECT_EQ(slow.gets, 1);
  store->Abandon(waiting);
  EXPECT_TRUE(absl::IsCancelled(ends[2])) << "it never began";
  EXPECT_EQ(slow.cancelled, 0);
  store->Abandon(first);
  EXPECT_EQ(slow.cancelled, 0) << "another waits for it";
  slow.late = true;
  store->Abandon(second);
  EXPECT_EQ(slow.cancelled, 1);
  // Who asks while the cancelled fetch ends gets one of their own.
  read(locations[0], &ends[3]);
  EXPECT_EQ(slow.gets, 1);
  slow.slow = false;
  std::exchange(slow.answer, nullptr)();
  EXPECT_EQ(slow.gets, 2);
  EXPECT_TRUE(ends[3].ok()) << ends[3];
  EXPECT_TRUE(store->Close().ok());
}

TEST_F(ChunkStoreTest, ListsAPartitionAndTheVersionsOfABlock) {
  Open();
  ASSERT_TRUE(WriteNow(*store_, {.hash = 1, .tokens = BlockOf(10)}).ok());
  ASSERT_TRUE(WriteNow(*store_, {.hash = 2, .parent = 1, .tokens = BlockOf(11)}).ok());
  ASSERT_TRUE(WriteNow(*store_, {.hash = 7, .tokens = BlockOf(10), .buffer = "other"}).ok());
  ASSERT_TRUE(WriteNow(*store_, {.partition = "q", .hash = 9, .tokens = BlockOf(10)}).ok());
  const auto listed = *ListNow(*store_, "p");
  std::vector<uint64_t> hashes;
  for (const auto& block : listed) {
    hashes.push_back(block.version.hash);
    EXPECT_EQ(block.by_parent, block.version.hash == 2);
    EXPECT_EQ(block.parent_hash, block.version.hash == 2 ? 1 : 0);
    EXPECT_TRUE(block.in_ram && block.on_disk && !block.shared);
    EXPECT_LT(absl::Now() - block.written, absl::Minutes(1));
    EXPECT_TRUE(ReadNow(*store_, std::string(AsText(block.location))).ok());
  }
  EXPECT_THAT(hashes, testing::UnorderedElementsAre(1, 2, 7));
  EXPECT_EQ(ListNow(*store_, "p", 2)->size(), 2);
  EXPECT_TRUE(ListNow(*store_, "none")->empty());

  const std::string location = LookupNow(*store_, BlockOf(10), {7})[0].location;
  const auto versions = *VersionsNow(*store_, location);
  ASSERT_EQ(versions.size(), 2);
  EXPECT_EQ(versions[0].version.hash, 7) << "the one that was asked for is not the first";
  EXPECT_EQ(versions[1].version.hash, 1);
  EXPECT_TRUE(absl::IsNotFound(VersionsNow(*store_, std::string(96, 'A')).status()));
}

TEST_F(ChunkStoreTest, RemovesWhatIsAskedForAndWhatHangsOnIt) {
  Open();
  ASSERT_TRUE(WriteNow(*store_, {.hash = 1, .tokens = BlockOf(10)}).ok());
  ASSERT_TRUE(WriteNow(*store_, {.hash = 2, .parent = 1, .tokens = BlockOf(11)}).ok());
  ASSERT_TRUE(WriteNow(*store_, {.hash = 3, .tokens = BlockOf(12)}).ok());
  const std::string location = LookupNow(*store_, BlockOf(10))[0].location;
  EXPECT_EQ(*RemoveNow(*store_, location), 2);
  EXPECT_EQ(*RemoveNow(*store_, location), 0);
  EXPECT_EQ(*RemoveNow(*store_, "no location"), 0);
  EXPECT_TRUE(absl::IsNotFound(ReadNow(*store_, location).status()));
  EXPECT_EQ(storage_->Usage().blobs, 2) << "the third block, and the key of locations";
  EXPECT_EQ(store_->stats().removed_chunks, 2);
  EXPECT_EQ(store_->stats().evicted_chunks, 0);
  ASSERT_TRUE(WriteNow(*store_, {.hash = 1, .tokens = BlockOf(10)}).ok());
  EXPECT_EQ(LookupNow(*store_, BlockOf(10)).size(), 1);
}

TEST_F(ChunkStoreTest, ARemovalThatTheStorageRefusesIsToldAndUndone) {
  Open();
  ASSERT_TRUE(WriteNow(*store_, {.hash = 1, .tokens = BlockOf(10)}).ok());
  const std::string location = LookupNow(*store_, BlockOf(10))[0].location;
  storage_->FailNextDelete(absl::UnavailableError("disk"));
  EXPECT_TRUE(absl::IsUnavailable(RemoveNow(*store_, location).status()));
  EXPECT_EQ(LookupNow(*store_, BlockOf(10)).size(), 1);
  EXPECT_EQ(*RemoveNow(*store_, location), 1);
}

TEST_F(ChunkStoreTest, EvictsWhatASmallerCapacityDoesNotHold) {
  Open();
  for (Token i = 0; i < 20; ++i) {
    ASSERT_TRUE(
        WriteNow(*store_,
                 {.hash = uint64_t(i) + 1, .tokens = BlockOf(i), .buffer = std::string(10000, 'x')})
            .ok());
  }
  store_->SetMemory(0);
  EXPECT_EQ(store_->stats().ram.blocks, 0);
  const uint64_t used = store_->stats().storage.used_bytes;
  storage_->SetCapacity(used / 2);
  store_->FitCapacity();
  EXPECT_LE(store_->stats().storage.used_bytes, used / 2);
  EXPECT_GT(store_->stats().blocks, 5);
}

}  // namespace
}  // namespace kvstore
