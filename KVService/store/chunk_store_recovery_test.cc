// What a restart makes of a store that lost or damaged something.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "KVService/platform/temp_dir.h"
#include "KVService/storage/local/local_blob_store.h"
#include "KVService/store/chunk_identity.h"
#include "KVService/store/chunk_store_testing.h"

namespace kvstore {
namespace {

std::unique_ptr<ChunkStore> OpenStore(const std::string& directory) {
  LocalOptions local;
  local.directory = directory;
  local.segment_bytes = 4096;  // a segment of its own for every larger record
  local.may_return = [](const BlobInfo& blob) { return MayReturn(blob.attributes); };
  auto storage = LocalBlobStore::Open(local);
  EXPECT_TRUE(storage.ok()) << storage.status();
  auto store = ChunkStore::Open({.memory_bytes = 0}, std::move(*storage));
  EXPECT_TRUE(store.ok()) << store.status();
  return std::move(*store);
}

// The segment file that holds this text.
std::filesystem::path SegmentWith(const std::string& directory, const std::string& text) {
  for (const auto& entry : std::filesystem::directory_iterator(directory + "/segments")) {
    std::ifstream file(entry.path(), std::ios::binary);
    const std::string content((std::istreambuf_iterator<char>(file)), {});
    if (content.find(text) != std::string::npos) return entry.path();
  }
  ADD_FAILURE() << "no segment holds " << text;
  return {};
}

// Two parents of one hash: when the first is lost with its file, its child must not be found behind
// the second.
TEST(ChunkStoreRecovery, AChildOfALostParentGoesToo) {
  const testing::TempDir directory;
  const std::string large(8000, '.');
  {
    const auto store = OpenStore(directory.path());
    ASSERT_TRUE(
        WriteNow(*store, {.hash = 1, .tokens = BlockOf(1), .buffer = "parent A" + large}).ok());
    ASSERT_TRUE(
        WriteNow(*store,
                 {.hash = 2, .parent = 1, .tokens = BlockOf(2), .buffer = "child of A" + large})
            .ok());
    ASSERT_EQ(LookupNow(*store, PromptOf({1, 2})).size(), 2u);
    ASSERT_TRUE(store->Close().ok());
  }
  std::filesystem::remove(SegmentWith(directory.path(), "parent A"));
  {
    const auto store = OpenStore(directory.path());
    EXPECT_TRUE(LookupNow(*store, PromptOf({1, 2})).empty());
    ASSERT_TRUE(
        WriteNow(*store, {.hash = 1, .tokens = BlockOf(7), .buffer = "parent B" + large}).ok());
    EXPECT_EQ(LookupNow(*store, PromptOf({7, 2})).size(), 1u);
    ASSERT_TRUE(store->Close().ok());
  }
  const auto store = OpenStore(directory.path());
  EXPECT_EQ(LookupNow(*store, PromptOf({7, 2})).size(), 1u);
}

TEST(ChunkStoreRecovery, ADamagedLocationKeyIsMadeAnew) {
  const testing::TempDir directory;
  {
    const auto store = OpenStore(directory.path());
    ASSERT_TRUE(WriteNow(*store, {.hash = 1, .tokens = BlockOf(1), .buffer = "kept"}).ok());
    ASSERT_TRUE(store->Close().ok());
  }
  const std::filesystem::path segment = SegmentWith(directory.path(), "location-key");
  {
    std::fstream file(segment, std::ios::binary | std::ios::in | std::ios::out);
    std::string content((std::istreambuf_iterator<char>(file)), {});
    const size_t at = content.find("location-key");
    content[at + 13] ^= 1;
    file.seekp(0);
    file.write(content.data(), static_cast<std::streamsize>(content.size()));
  }
  const auto store = OpenStore(directory.path());
  const auto found = LookupNow(*store, BlockOf(1));
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(BufferOf(ReadNow(*store, found[0].location)->chunk), "kept");
}

// Metadata made anew may bring back what was deleted. A block by parent that came back would be
// found behind whatever bears its parent's hash by then.
TEST(ChunkStoreRecovery, MetadataMadeAnewBringsBackNoChildOfAParent) {
  const testing::TempDir directory;
  {
    const auto store = OpenStore(directory.path());
    ASSERT_TRUE(WriteNow(*store, {.hash = 1, .tokens = BlockOf(1), .buffer = "parent"}).ok());
    ASSERT_TRUE(
        WriteNow(*store, {.hash = 2, .parent = 1, .tokens = BlockOf(2), .buffer = "child"}).ok());
    ASSERT_TRUE(store->Close().ok());
  }
  for (const auto& entry : std::filesystem::directory_iterator(directory.path() + "/index")) {
    if (entry.path().extension() != ".log") continue;
    std::fstream file(entry.path(), std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(20);
    file.put('?');
  }
  {
    const auto store = OpenStore(directory.path());
    const auto found = LookupNow(*store, PromptOf({1, 2}));
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(BufferOf(ReadNow(*store, found[0].location)->chunk), "parent");
    // And it can be written again.
    ASSERT_TRUE(
        WriteNow(*store, {.hash = 2, .parent = 1, .tokens = BlockOf(2), .buffer = "again"}).ok());
    ASSERT_TRUE(store->Close().ok());
  }
  const auto store = OpenStore(directory.path());
  const auto found = LookupNow(*store, PromptOf({1, 2}));
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(BufferOf(ReadNow(*store, found[1].location)->chunk), "again");
}

TEST(ChunkStoreRecovery, ABlockThatTheStorageFoundDamagedIsAMissUntilItIsWritten) {
  const testing::TempDir directory;
  const auto store = OpenStore(directory.path());
  const TestChunk chunk{.hash = 1, .tokens = BlockOf(1), .buffer = "tensors"};
  ASSERT_TRUE(WriteNow(*store, chunk).ok());
  const std::string name = BlobNameOf(DigestPartition("p"), VersionOf(WireChunk(chunk)));
  const auto found = LookupNow(*store, BlockOf(1));
  ASSERT_EQ(found.size(), 1u);
  store->RemoveDamaged({kTestContainer.account, kTestContainer.name, name});
  EXPECT_TRUE(LookupNow(*store, BlockOf(1)).empty());
  // A location needs no index, and these bytes are whole: a miss once they are deleted.
  const absl::Time patience = absl::Now() + absl::Seconds(30);
  while (ReadNow(*store, found[0].location).ok() && absl::Now() < patience) {
  }
  EXPECT_TRUE(absl::IsNotFound(ReadNow(*store, found[0].location).status()));
  EXPECT_EQ(store->stats().corrupt_chunks, 1u);
  store->RemoveDamaged({"-", "-", "location-key"});  // no block: nothing happens
  EXPECT_EQ(store->stats().corrupt_chunks, 1u);
  ASSERT_TRUE(WriteNow(*store, chunk).ok());
  EXPECT_EQ(BufferOf(ReadNow(*store, found[0].location)->chunk), "tensors");
}

}  // namespace
}  // namespace kvstore
