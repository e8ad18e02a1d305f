// ChunkStores on a storage that they share: servers on one container.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <spdlog/fmt/fmt.h>

#include <numeric>

#include "KVService/storage/memory/memory_shared_blob_store.h"
#include "KVService/store/chunk_store_testing.h"

namespace kvstore {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;
using Call = MemorySharedBlobStore::Call;

constexpr int kChain = 64;

// One server, and its way to the account.
struct TestServer {
  explicit TestServer(std::shared_ptr<MemoryAccount> account, ChunkStoreOptions options = {}) {
    auto storage = std::make_unique<MemorySharedBlobStore>(std::move(account));
    way = storage.get();
    store = *ChunkStore::OpenShared(options, std::move(storage));
  }

  uint64_t Asked() const {
    uint64_t asked = 0;
    for (int call = 0; call < MemorySharedBlobStore::kCalls; ++call) {
      asked += way->count(static_cast<Call>(call));
    }
    return asked;
  }

  MemorySharedBlobStore* way;
  std::unique_ptr<ChunkStore> store;
};

std::vector<Token> Tokens(int blocks, Token first = 1) {
  std::vector<Token> tokens(blocks);
  std::iota(tokens.begin(), tokens.end(), first);
  return PromptOf(tokens);
}

std::vector<uint64_t> Hashes(int blocks) {
  std::vector<uint64_t> hashes(blocks);
  std::iota(hashes.begin(), hashes.end(), 1000);
  return hashes;
}

// A prompt's blocks with prefix digests, as our client writes them.
void WriteChain(ChunkStore& store, int blocks, Token first = 1) {
  const std::vector<Token> tokens = Tokens(blocks, first);
  const std::vector<Digest> digests = PrefixDigests(tokens);
  for (int i = 0; i < blocks; ++i) {
    TestChunk chunk;
    chunk.hash = 1000 + i;
    chunk.parent = i == 0 ? 0 : 999 + i;
    chunk.tokens.assign(tokens.begin() + i * kBlockTokens, tokens.begin() + (i + 1) * kBlockTokens);
    chunk.digest = digests[i];
    chunk.buffer = "tensors of " + std::to_string(i);
    const auto written = WriteNow(store, chunk);
    ASSERT_TRUE(written.ok()) << written.status();
  }
}

class SharedTest : public ::testing::Test {
 protected:
  std::shared_ptr<MemoryAccount> account_ = std::make_shared<MemoryAccount>();
};

TEST_F(SharedTest, ServersFindAndReadEachOthersBlocks) {
  TestServer a(account_), b(account_);
  WriteChain(*a.store, 3);
  const auto found = LookupNow(*b.store, Tokens(3));
  ASSERT_THAT(found, SizeIs(3));
  EXPECT_EQ(found[2].tier, wire::BlockTier::kRemote);
  EXPECT_EQ(BufferOf(ReadNow(*b.store, found[2].location)->chunk), "tensors of 2");
  EXPECT_EQ(LookupNow(*b.store, Tokens(3))[2].tier, wire::BlockTier::kRam);
  // A location is any server's.
  EXPECT_EQ(BufferOf(ReadNow(*a.store, found[1].location)->chunk), "tensors of 1");
}

TEST_F(SharedTest, KnownBlocksAndUnwrittenOnesAskNothing) {
  TestServer a(account_), b(account_);
  WriteChain(*a.store, kChain);
  LookupNow(*b.store, Tokens(1));  // opens the container
  const uint64_t asked = b.Asked();
  EXPECT_THAT(LookupNow(*b.store, Tokens(kChain)), SizeIs(kChain));
  EXPECT_THAT(LookupNow(*b.store, Tokens(kChain), Hashes(kChain)), SizeIs(kChain));
  EXPECT_THAT(LookupNow(*b.store, Tokens(kChain, 5000)), IsEmpty());
  EXPECT_EQ(b.Asked(), asked);
}

TEST_F(SharedTest, WithoutTheLogAllBlocksAreAskedForAtOnce) {
  TestServer a(account_), b(account_);
  WriteChain(*a.store, kChain);
  b.way->PauseTelling();
  b.way->FailNext(MemorySharedBlobStore::kFollow, absl::UnavailableError("no log"));
  LookupNow(*b.store, Tokens(1));  // opens the container
  b.way->SetUpToDate(false);
  for (const bool exact : {true, false}) {
    const Call call = exact ? MemorySharedBlobStore::kStat : MemorySharedBlobStore::kListPrefix;
    TestServer cold(account_);
    cold.way->PauseTelling();
    cold.way->FailNext(MemorySharedBlobStore::kFollow, absl::UnavailableError("no log"));
    EXPECT_THAT(LookupNow(*cold.store, Tokens(1)), SizeIs(1));
    const uint64_t before = cold.way->count(call);
    cold.way->Hang();
    absl::Notification done;
    size_t found = 0;
    cold.store->Lookup(kTestContainer,
                       {"p", PackedTokens(Tokens(kChain)), exact ? Hashes(kChain) : Hashes(0)},
                       Soon(), [&](auto result) {
                         found = result.ok() ? result->blocks.size() : 0;
                         done.Notify();
                       });
    EXPECT_EQ(cold.way->hung_calls(), kChain - 1u) << "in parallel, but for the one known";
    cold.way->Resume();
    done.WaitForNotification();
    EXPECT_EQ(found, static_cast<size_t>(kChain));
    EXPECT_EQ(cold.way->count(call) - before, kChain - 1u);
    EXPECT_EQ(cold.store->stats().probes_found, static_cast<uint64_t>(kChain));
  }
}

TEST_F(SharedTest, WithoutTheLogAGapEndsTheSearch) {
  TestServer a(account_), b(account_);
  WriteChain(*a.store, 2);
  b.way->PauseTelling();
  b.way->FailNext(MemorySharedBlobStore::kFollow, absl::UnavailableError("no log"));
  EXPECT_THAT(LookupNow(*b.store, Tokens(1000)), SizeIs(2));
  EXPECT_LE(b.way->count(MemorySharedBlobStore::kListPrefix), kProbeWave);
}

TEST_F(SharedTest, ABlockByParentIsAMissWhereNotAllIsKnown) {
  TestServer a(account_), b(account_);
  ASSERT_TRUE(WriteNow(*a.store, {.hash = 7, .tokens = BlockOf(1)}).ok());
  ASSERT_TRUE(WriteNow(*a.store, {.hash = 8, .parent = 7, .tokens = BlockOf(2)}).ok());
  EXPECT_THAT(LookupNow(*b.store, Tokens(2)), SizeIs(2));
  b.way->SetUpToDate(false);
  // Another server may have written a second block with the parent's hash.
  EXPECT_THAT(LookupNow(*b.store, Tokens(2)), SizeIs(1));
}

TEST_F(SharedTest, ABlockThatIsGoneIsForgottenByAll) {
  TestServer a(account_, {.memory_bytes = 0}), b(account_, {.memory_bytes = 0});
  WriteChain(*a.store, 3);
  const auto found = LookupNow(*b.store, Tokens(3));
  ASSERT_THAT(found, SizeIs(3));
  // By hand, as an administrator would: no log tells of it.
  a.way->PauseTelling();
  b.way->PauseTelling();
  std::vector<BlobId> blobs;
  ASSERT_TRUE(a.way
                  ->List([&](const BlobInfo& info) {
                    if (info.attributes.size() > 0) blobs.push_back(info.id);
                  })
                  .ok());
  for (const BlobId& id : blobs) {
    if (id.name.ends_with(fmt::format("{:016x}", 1001))) a.way->Delete(id, [](auto) {});
  }
  a.way->ResumeTelling();
  EXPECT_TRUE(absl::IsNotFound(ReadNow(*b.store, found[1].location).status()));
  EXPECT_THAT(LookupNow(*b.store, Tokens(3)), SizeIs(1));
  EXPECT_THAT(LookupNow(*a.store, Tokens(3)), SizeIs(1));
  WriteChain(*a.store, 3);
  b.way->ResumeTelling();
  EXPECT_THAT(LookupNow(*b.store, Tokens(3)), SizeIs(3));
}

TEST_F(SharedTest, WhatTheIndexForgetsTheFilterRemembers) {
  TestServer a(account_);
  TestServer b(account_, {.max_index_blocks = 8, .bloom_blocks = 1000});
  WriteChain(*a.store, kChain);
  LookupNow(*b.store, Tokens(1));
  EXPECT_LE(b.store->stats().blocks, 8u);
  EXPECT_GT(b.store->stats().forgotten_blocks, 0u);
  // A prompt that nobody wrote: the filter denies it, with few exceptions, and nothing is asked.
  const uint64_t asked = b.Asked();
  int unwritten = 0;
  for (Token first = 10'000; first < 30'000; first += 100, ++unwritten) {
    EXPECT_THAT(LookupNow(*b.store, Tokens(4, first)), IsEmpty());
  }
  EXPECT_LE(b.Asked() - asked, static_cast<uint64_t>(unwritten) / 20);
  EXPECT_EQ(b.store->stats().bloom_probes - b.store->stats().bloom_probes_found, b.Asked() - asked);
}

TEST_F(SharedTest, AForgottenChainThatFitsIsFoundAgain) {
  TestServer a(account_);
  TestServer b(account_, {.max_index_blocks = 100, .bloom_blocks = 1000});
  WriteChain(*a.store, kChain);
  WriteChain(*a.store, kChain, 7000);
  WriteChain(*a.store, kChain, 9000);
  for (int round = 0; round < 3; ++round) {
    for (const Token first : {1, 7000, 9000}) {
      EXPECT_THAT(LookupNow(*b.store, Tokens(kChain, first)), SizeIs(kChain)) << first;
    }
  }
  EXPECT_LE(b.store->stats().blocks, 100u + kChain);
}

TEST_F(SharedTest, StorageThatIsDownIsAnErrorAndThenRecovers) {
  TestServer a(account_), b(account_);
  WriteChain(*a.store, 2);
  b.way->SetDown(absl::UnavailableError("no route to the account"));
  const auto result = TryLookup(*b.store, Tokens(2));
  EXPECT_TRUE(absl::IsUnavailable(result.status()));
  EXPECT_EQ(result.status().message(), "no route to the account");
  EXPECT_TRUE(absl::IsUnavailable(WriteNow(*b.store, {.hash = 1, .tokens = BlockOf(9)}).status()));
  b.way->SetUp();
  EXPECT_THAT(LookupNow(*b.store, Tokens(2)), SizeIs(2));
}

TEST_F(SharedTest, ReadersMakeNothingAndSeeAContainerSoonAfterItIsMade) {
  TestServer a(account_), b(account_);
  EXPECT_THAT(LookupNow(*b.store, Tokens(2)), IsEmpty());
  EXPECT_TRUE(absl::IsNotFound(ReadNow(*b.store, "nonsense").status()));
  EXPECT_EQ(b.way->count(MemorySharedBlobStore::kPut), 0u);
  EXPECT_EQ(b.way->count(MemorySharedBlobStore::kGet), 1u) << "what is missing is remembered";
  WriteChain(*a.store, 2);
  absl::SleepFor(absl::Milliseconds(1100));
  EXPECT_THAT(LookupNow(*b.store, Tokens(2)), SizeIs(2));
}

TEST_F(SharedTest, OfTwoServersTheFirstWriterWins) {
  TestServer a(account_), b(account_);
  WriteChain(*a.store, 1, 500);
  EXPECT_THAT(LookupNow(*b.store, Tokens(1, 500)), SizeIs(1));
  b.way->PauseTelling();
  WriteChain(*a.store, 1);  // b does not know
  TestChunk second;
  second.hash = 1000;
  second.tokens = BlockOf(1);
  second.digest = PrefixDigests(Tokens(1))[0];
  second.buffer = "another's";
  const auto written = WriteNow(*b.store, second);
  ASSERT_TRUE(written.ok()) << written.status();
  EXPECT_FALSE(written->stored);
  const auto found = LookupNow(*b.store, Tokens(1));
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(BufferOf(ReadNow(*b.store, found[0].location)->chunk), "tensors of 0");
}

// A write hears that another server's block is there, whose bytes are damaged and which a read has
// just begun to delete: it is stored anew, behind the deletion.
TEST_F(SharedTest, AWriteOfABlockOnItsWayOutComesAfterIt) {
  TestServer a(account_), b(account_);
  WriteChain(*a.store, 1, 50);
  EXPECT_THAT(LookupNow(*b.store, Tokens(1, 50)), SizeIs(1));  // it follows the container
  b.way->PauseTelling();
  TestChunk chunk{.hash = 5, .tokens = Tokens(1), .buffer = "tensors"};
  chunk.digest = PrefixDigests(chunk.tokens)[0];
  ASSERT_TRUE(WriteNow(*a.store, chunk)->stored);
  const std::string location = LookupNow(*a.store, Tokens(1))[0].location;

  b.way->HoldCallbacks(Call::kPut);
  absl::StatusOr<ChunkStore::WriteResult> written;
  absl::Notification done;
  b.store->Write(kTestContainer, WireChunk(chunk), Encoded(chunk), Soon(), [&](auto outcome) {
    written = std::move(outcome);
    done.Notify();
  });
  ASSERT_EQ(b.way->held_callbacks(), 1u);
  b.way->ResumeTelling();
  ASSERT_TRUE(b.way
                  ->List([&](const BlobInfo& info) {
                    if (info.id.name.ends_with(fmt::format("{:016x}", 5))) {
                      EXPECT_TRUE(account_->Corrupt(info.id));
                    }
                  })
                  .ok());
  b.way->HoldCallbacks(Call::kDelete);
  EXPECT_TRUE(absl::IsNotFound(ReadNow(*b.store, location).status()));
  ASSERT_EQ(b.way->held_callbacks(), 2u);
  b.way->ReleaseCallbacks();
  done.WaitForNotification();
  ASSERT_TRUE(written.ok()) << written.status();
  EXPECT_TRUE(written->stored);
  const auto found = LookupNow(*b.store, Tokens(1));
  ASSERT_THAT(found, SizeIs(1));
  const auto read = ReadNow(*b.store, found[0].location);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(BufferOf(read->chunk), "tensors");
}

TEST_F(SharedTest, PrefetchBringsWhatALookupFound) {
  TestServer a(account_), b(account_, {.prefetch = true});
  WriteChain(*a.store, 5);
  const auto found = LookupNow(*b.store, Tokens(5));
  ASSERT_THAT(found, SizeIs(5));
  const uint64_t gets = b.way->count(MemorySharedBlobStore::kGet);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(BufferOf(ReadNow(*b.store, found[i].location)->chunk),
              "tensors of " + std::to_string(i));
  }
  EXPECT_EQ(b.way->count(MemorySharedBlobStore::kGet), gets);
  EXPECT_EQ(b.store->stats().ram.hits, 5u);
}

TEST_F(SharedTest, ConcurrentReadsShareOneGet) {
  TestServer a(account_), b(account_);
  WriteChain(*a.store, 1);
  const auto found = LookupNow(*b.store, Tokens(1));
  const uint64_t gets = b.way->count(MemorySharedBlobStore::kGet);
  b.way->Hang();
  int answered = 0;
  for (int i = 0; i < 50; ++i) {
    b.store->Read(kTestContainer, found[0].location, Soon(), [&](auto result) {
      EXPECT_EQ(BufferOf(result->chunk), "tensors of 0");
      ++answered;
    });
  }
  b.way->Resume();
  EXPECT_EQ(answered, 50);
  EXPECT_EQ(b.way->count(MemorySharedBlobStore::kGet), gets + 1);
}

TEST_F(SharedTest, AnyServerListsAndRemovesWhatAnotherWrote) {
  TestServer a(account_), b(account_), early(account_);
  EXPECT_TRUE(ListNow(*early.store, "p")->empty()) << "nobody has written to the container";
  WriteChain(*a.store, 4);
  const auto listed = *ListNow(*b.store, "p");
  ASSERT_THAT(listed, SizeIs(4));
  for (const auto& block : listed) EXPECT_TRUE(block.shared && !block.on_disk && !block.in_ram);
  const auto found = LookupNow(*b.store, Tokens(4));
  EXPECT_EQ(VersionsNow(*b.store, found[2].location)->front().version.hash, 1002);
  EXPECT_EQ(*RemoveNow(*b.store, found[3].location), 1);
  EXPECT_THAT(LookupNow(*a.store, Tokens(4)), SizeIs(3));
}

TEST_F(SharedTest, WhatTheIndexForgotIsRemovedAllTheSame) {
  TestServer a(account_);
  WriteChain(*a.store, 40);
  const auto found = LookupNow(*a.store, Tokens(40));
  TestServer small(account_, {.max_index_blocks = 8});
  LookupNow(*small.store, Tokens(1));
  for (const auto& block : found) EXPECT_EQ(*RemoveNow(*small.store, block.location), 1);
  EXPECT_THAT(*ListNow(*a.store, "p"), IsEmpty());
  EXPECT_THAT(LookupNow(*a.store, Tokens(40)), IsEmpty());
}

}  // namespace
}  // namespace kvstore
