// What the tests of ChunkStore share: chunks, and its calls made to wait.
#ifndef KVSERVICE_STORE_CHUNK_STORE_TESTING_H_
#define KVSERVICE_STORE_CHUNK_STORE_TESTING_H_

#include <gtest/gtest.h>

#include <cstring>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "KVService/store/chunk_store.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"

namespace kvstore {

inline const Container kTestContainer{"acct", "box"};

// A block of one token, repeated.
inline std::vector<Token> BlockOf(Token token) { return std::vector<Token>(kBlockTokens, token); }

inline std::vector<Token> PromptOf(const std::vector<Token>& blocks) {
  std::vector<Token> tokens;
  for (Token token : blocks) tokens.insert(tokens.end(), kBlockTokens, token);
  return tokens;
}

struct TestChunk {
  std::string partition = "p";
  uint64_t hash = 0;
  uint64_t parent = 0;
  std::vector<Token> tokens;
  std::string buffer = "tensors";
  std::optional<Digest> digest;
};

inline wire::Chunk WireChunk(const TestChunk& test) {
  wire::Chunk chunk;
  chunk.hash = test.hash;
  chunk.partition_key = test.partition;
  chunk.parent_hash = test.parent;
  chunk.tokens = test.tokens;
  chunk.prefix_digest = test.digest;
  chunk.buffer.size = test.buffer.size();
  return chunk;
}

inline Slice Encoded(const TestChunk& test) {
  const wire::Frame frame = wire::FrameChunk(WireChunk(test), test.buffer.size());
  return Slice::CopyOf(AsBytes(frame.head + test.buffer + frame.tail));
}

inline std::string BufferOf(const Slice& chunk) {
  const ByteView whole = chunk.bytes();
  const absl::StatusOr<wire::Chunk> parsed = wire::ParseChunk(wire::Pieces(&whole, 1));
  if (!parsed.ok()) return "(not a chunk)";
  return std::string(AsText(whole.subspan(parsed->buffer.offset, parsed->buffer.size)));
}

inline absl::Time Soon() { return absl::Now() + absl::Seconds(60); }

inline absl::StatusOr<ChunkStore::WriteResult> WriteNow(ChunkStore& store, const TestChunk& chunk,
                                                        uint64_t quota = 0) {
  absl::StatusOr<ChunkStore::WriteResult> result;
  absl::Notification done;
  store.Write(
      kTestContainer, WireChunk(chunk), Encoded(chunk), Soon(),
      [&](auto outcome) {
        result = std::move(outcome);
        done.Notify();
      },
      quota);
  done.WaitForNotification();
  return result;
}

inline absl::StatusOr<ChunkStore::ReadResult> ReadNow(ChunkStore& store,
                                                      const std::string& location) {
  absl::StatusOr<ChunkStore::ReadResult> result;
  absl::Notification done;
  store.Read(kTestContainer, location, Soon(), [&](auto outcome) {
    result = std::move(outcome);
    done.Notify();
  });
  done.WaitForNotification();
  return result;
}

inline absl::StatusOr<ChunkStore::LookupResult> TryLookup(ChunkStore& store,
                                                          const std::vector<Token>& tokens,
                                                          const std::vector<uint64_t>& hashes = {},
                                                          const std::string& partition = "p") {
  absl::StatusOr<ChunkStore::LookupResult> result;
  absl::Notification done;
  store.Lookup(kTestContainer, {partition, PackedTokens(tokens), hashes}, Soon(),
               [&](auto outcome) {
                 result = std::move(outcome);
                 done.Notify();
               });
  done.WaitForNotification();
  return result;
}

inline absl::StatusOr<std::vector<ChunkStore::StoredBlock>> ListNow(ChunkStore& store,
                                                                    const std::string& partition,
                                                                    size_t limit = 1000) {
  std::promise<absl::StatusOr<std::vector<ChunkStore::StoredBlock>>> listed;
  store.ListPartition(kTestContainer, partition, limit, Soon(),
                      [&](auto blocks) { listed.set_value(std::move(blocks)); });
  return listed.get_future().get();
}

inline absl::StatusOr<std::vector<ChunkStore::StoredBlock>> VersionsNow(
    ChunkStore& store, const std::string& location) {
  std::promise<absl::StatusOr<std::vector<ChunkStore::StoredBlock>>> listed;
  store.ListVersions(kTestContainer, location, Soon(),
                     [&](auto blocks) { listed.set_value(std::move(blocks)); });
  return listed.get_future().get();
}

inline absl::StatusOr<size_t> RemoveNow(ChunkStore& store, const std::string& location) {
  std::promise<absl::StatusOr<size_t>> removed;
  store.Remove(kTestContainer, location, ChunkStore::Removal::kAsked,
               [&](auto count) { removed.set_value(std::move(count)); });
  return removed.get_future().get();
}

struct FoundNow {
  uint64_t hash = 0;
  std::string location;
  uint64_t size = 0;
  wire::BlockTier tier = wire::BlockTier::kUnknown;
};
inline std::vector<FoundNow> LookupNow(ChunkStore& store, const std::vector<Token>& tokens,
                                       const std::vector<uint64_t>& hashes = {},
                                       const std::string& partition = "p") {
  auto result = TryLookup(store, tokens, hashes, partition);
  EXPECT_TRUE(result.ok()) << result.status();
  if (!result.ok()) return {};
  std::vector<FoundNow> found;
  for (const ChunkStore::FoundBlock& block : result->blocks) {
    found.push_back({block.hash, std::string(AsText(block.location)), block.size, block.tier});
  }
  return found;
}

}  // namespace kvstore

#endif  // KVSERVICE_STORE_CHUNK_STORE_TESTING_H_
