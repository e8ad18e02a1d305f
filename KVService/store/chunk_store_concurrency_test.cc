// Hundreds of writers of overlapping chains, readers and evictions at once, on the embedded store.
// In one process and without gRPC, so that ThreadSanitizer sees all of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

#include "KVService/platform/temp_dir.h"
#include "KVService/storage/local/local_blob_store.h"
#include "KVService/storage/memory/memory_blob_store.h"
#include "KVService/store/chunk_store_testing.h"
#include "absl/synchronization/blocking_counter.h"

namespace kvstore {
namespace {

constexpr int kThreads = 8;
constexpr int kWriters = 200;
constexpr int kChains = 5;
constexpr int kLength = 6;
constexpr int kShared = 3;  // leading blocks that all chains have in common

std::vector<Token> ChainTokens(int chain) {
  std::vector<Token> blocks;
  for (int i = 0; i < kLength; ++i) blocks.push_back(i < kShared ? i : 100 * (chain + 1) + i);
  return PromptOf(blocks);
}

TestChunk ChunkOf(int chain, int i, int writer) {
  const std::vector<Token> tokens = ChainTokens(chain);
  const int owner = i < kShared ? 0 : chain + 1;  // shared blocks bear the same hash in all chains
  TestChunk chunk;
  chunk.hash = static_cast<uint64_t>(1000 * owner + i + 1);
  chunk.parent = i == 0 ? 0 : (i <= kShared ? static_cast<uint64_t>(i) : chunk.hash - 1);
  chunk.tokens.assign(tokens.begin() + i * kBlockTokens, tokens.begin() + (i + 1) * kBlockTokens);
  chunk.digest = PrefixDigests(tokens)[i];
  chunk.buffer = "chain " + std::to_string(i < kShared ? -1 : chain) + " block " +
                 std::to_string(i) + " writer " + std::to_string(writer) + std::string(2000, '.');
  return chunk;
}

std::unique_ptr<ChunkStore> OpenStore(const std::string& directory, uint64_t capacity) {
  LocalOptions local;
  local.directory = directory;
  local.capacity_bytes = capacity;
  local.durability = Durability::kBatch;
  auto storage = LocalBlobStore::Open(local);
  EXPECT_TRUE(storage.ok()) << storage.status();
  auto store = ChunkStore::Open({.memory_bytes = 40'000}, std::move(*storage));
  EXPECT_TRUE(store.ok()) << store.status();
  return std::move(*store);
}

bool IsBlockOf(const Slice& chunk, int chain, int i) {
  const std::string start =
      "chain " + std::to_string(i < kShared ? -1 : chain) + " block " + std::to_string(i) + " ";
  return BufferOf(chunk).starts_with(start);
}

TEST(ChunkStoreConcurrency, HundredsOfWritersOfOverlappingChainsLeaveOneOfEachBlock) {
  const testing::TempDir directory;
  const auto store = OpenStore(directory.path(), 0);
  std::atomic<int> stored = 0, failed = 0;
  absl::BlockingCounter written(kWriters * kLength);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int writer = t; writer < kWriters; writer += kThreads) {
        std::vector<int> order = {0, 1, 2, 3, 4, 5};
        std::shuffle(order.begin(), order.end(), std::mt19937(writer));
        for (int i : order) {
          const TestChunk chunk = ChunkOf(writer % kChains, i, writer);
          store->Write(kTestContainer, WireChunk(chunk), Encoded(chunk), Soon(), [&](auto result) {
            if (!result.ok()) {
              ++failed;
            } else {
              stored += result->stored;
            }
            written.DecrementCount();
          });
        }
        LookupNow(*store, ChainTokens(writer % kChains));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  written.Wait();
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(stored, kShared + kChains * (kLength - kShared)) << "each block once";
  for (int chain = 0; chain < kChains; ++chain) {
    const auto found = LookupNow(*store, ChainTokens(chain));
    ASSERT_EQ(found.size(), static_cast<size_t>(kLength));
    for (int i = 0; i < kLength; ++i) {
      const auto first = ReadNow(*store, found[i].location);
      const auto second = ReadNow(*store, found[i].location);
      ASSERT_TRUE(first.ok() && second.ok());
      EXPECT_TRUE(IsBlockOf(first->chunk, chain, i));
      EXPECT_EQ(BufferOf(first->chunk), BufferOf(second->chunk));
    }
  }
}

TEST(ChunkStoreConcurrency, WritersReadersAndEvictionsServeNoWrongBlock) {
  const testing::TempDir directory;
  const auto store = OpenStore(directory.path(), 60'000);  // about 7 blocks of 18
  std::atomic<int> wrong = 0, failed = 0, hits = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(t);
      for (int round = 0; round < 60; ++round) {
        const int chain = static_cast<int>(random() % kChains);
        const auto found = LookupNow(*store, ChainTokens(chain));
        for (size_t i = 0; i < found.size(); ++i) {
          const auto read = ReadNow(*store, found[i].location);
          if (read.ok()) {
            ++hits;
            wrong += !IsBlockOf(read->chunk, chain, static_cast<int>(i));
          } else if (!absl::IsNotFound(read.status())) {
            ++failed;
          }
        }
        for (int i = static_cast<int>(found.size()); i < kLength; ++i) {
          const auto result = WriteNow(*store, ChunkOf(chain, i, t));
          failed += !result.ok();
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(failed, 0);
  EXPECT_GT(hits, 100);
  EXPECT_GT(store->stats().evicted_chunks, 0u);
  EXPECT_LE(store->stats().storage.used_bytes, store->stats().storage.capacity_bytes);
  EXPECT_EQ(store->stats().corrupt_chunks, 0u);
  EXPECT_TRUE(store->Close().ok());
}

// What one thread has just found missing, another writes and a third one's write evicts.
TEST(ChunkStoreConcurrency, BlocksThatEvictEachOtherAreDeletedOnce) {
  auto storage = std::make_unique<MemoryBlobStore>(3 * 2'700);
  const auto store = std::move(*ChunkStore::Open({}, std::move(storage)));
  std::vector<std::thread> threads;
  for (int t = 0; t < 2 * kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(t);
      for (int round = 0; round < 2000; ++round) {
        const auto result =
            WriteNow(*store, ChunkOf(static_cast<int>(random() % kChains), kShared, t));
        EXPECT_TRUE(result.ok()) << result.status();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(store->Close().ok());
}

}  // namespace
}  // namespace kvstore
