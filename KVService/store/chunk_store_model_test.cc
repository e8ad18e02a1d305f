// ChunkStore against a model of a page: random interleavings of writes, lookups, reads, evictions
// and restarts over a universe so small that every collision happens.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <random>
#include <set>

#include "KVService/storage/local/local_blob_store.h"
#include "KVService/store/chunk_store_testing.h"

namespace kvstore {
namespace {

using Random = std::mt19937_64;
using Prefix = std::vector<Token>;  // one token a block

class ModelTest : public testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "chunk_store_model_" + std::to_string(getpid()) + "_" +
                 std::to_string(GetParam());
    std::filesystem::remove_all(directory_);
  }
  void TearDown() override {
    store_.reset();
    std::filesystem::remove_all(directory_);
  }

  void Open(uint64_t capacity, uint64_t memory) {
    store_.reset();
    LocalOptions local;
    local.directory = directory_;
    local.capacity_bytes = capacity;
    local.durability = Durability::kNone;
    auto storage = LocalBlobStore::Open(local);
    ASSERT_TRUE(storage.ok()) << storage.status();
    auto store = ChunkStore::Open({.memory_bytes = memory}, std::move(*storage));
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = std::move(*store);
  }

  Prefix AnyPrefix(size_t most) {
    Prefix prefix(1 + random_() % most);
    for (Token& token : prefix) token = static_cast<Token>(random_() % 3);
    return prefix;
  }

  static Digest DigestOf(const Prefix& prefix) { return PrefixDigests(PromptOf(prefix)).back(); }

  Random random_{static_cast<uint64_t>(GetParam())};
  std::string directory_;
  std::unique_ptr<ChunkStore> store_;
};

// ---- nothing is evicted: the store answers exactly as the semantics say

struct Version {
  uint64_t hash;
  uint64_t parent;
  Token token;
  std::optional<Digest> digest;  // a first block's is known, given or not

  auto Key() const { return std::tuple(hash, digest ? 0 : parent, token, digest); }
  bool operator<(const Version& other) const { return Key() < other.Key(); }
};

class Model {
 public:
  // False: that version is there.
  bool Write(const Version& version, const std::string& buffer) {
    return versions_.emplace(version, buffer).second;
  }

  // For each block that is there, the versions that may be answered.
  std::vector<std::set<Version>> Lookup(const Prefix& prompt, const std::vector<uint64_t>& hashes) {
    std::vector<std::set<Version>> levels;
    for (size_t i = 0; i < prompt.size(); ++i) {
      const Digest digest =
          PrefixDigests(PromptOf({prompt.begin(), prompt.begin() + i + 1})).back();
      std::set<Version> level;
      for (const auto& [version, buffer] : versions_) {
        if (version.token != prompt[i]) continue;
        if (i < hashes.size() && hashes[i] != 0 && version.hash != hashes[i]) continue;
        const bool fits = version.digest ? *version.digest == digest
                                         : i > 0 && FollowsUnambiguously(version, levels[i - 1]);
        if (fits) level.insert(version);
      }
      if (level.empty()) break;
      levels.push_back(std::move(level));
    }
    return levels;
  }

  const std::string& BufferOf(const Version& version) const { return versions_.at(version); }

 private:
  bool FollowsUnambiguously(const Version& version, const std::set<Version>& before) const {
    if (version.parent == 0) return false;
    const auto bears = [&](const Version& other) { return other.hash == version.parent; };
    const auto all = std::count_if(versions_.begin(), versions_.end(),
                                   [&](const auto& entry) { return bears(entry.first); });
    return all == 1 && std::any_of(before.begin(), before.end(), bears);
  }

  std::map<Version, std::string> versions_;
};

TEST_P(ModelTest, AnswersExactlyAsTheSemanticsSay) {
  Open(0, 1 << 20);
  Model model;
  int deepest = 0, stored = 0;
  for (int step = 0; step < 1500; ++step) {
    if (step % 400 == 399) Open(0, random_() % 2 ? 0 : 1 << 20);
    if (random_() % 2 && stored < 100) {
      const Prefix prefix = AnyPrefix(4);
      Version version{random_() % 7, random_() % 3 ? random_() % 7 : 0, prefix.back(),
                      std::nullopt};
      if (random_() % 2) version.digest = DigestOf(prefix);
      TestChunk chunk{.hash = version.hash,
                      .parent = version.parent,
                      .tokens = BlockOf(prefix.back()),
                      .buffer = "buffer " + std::to_string(step),
                      .digest = version.digest};
      if (!version.digest && version.parent == 0) version.digest = DigestOf({prefix.back()});
      const auto result = WriteNow(*store_, chunk);
      ASSERT_TRUE(result.ok()) << result.status();
      const bool added = model.Write(version, chunk.buffer);
      ASSERT_EQ(result->stored, added) << "step " << step;
      stored += added;
      continue;
    }
    const Prefix prompt = AnyPrefix(5);
    std::vector<uint64_t> hashes(random_() % 4);
    for (uint64_t& hash : hashes) hash = random_() % 2 ? 0 : random_() % 7;
    const auto expected = model.Lookup(prompt, hashes);
    const auto found = LookupNow(*store_, PromptOf(prompt), hashes);
    ASSERT_EQ(found.size(), expected.size()) << "step " << step;
    deepest = std::max<int>(deepest, static_cast<int>(found.size()));
    for (size_t i = 0; i < found.size(); ++i) {
      const auto read = ReadNow(*store_, found[i].location);
      ASSERT_TRUE(read.ok()) << read.status();
      std::set<std::string> allowed;
      for (const Version& version : expected[i]) {
        if (version.hash == found[i].hash) allowed.insert(model.BufferOf(version));
      }
      ASSERT_TRUE(allowed.contains(BufferOf(read->chunk))) << "step " << step << " block " << i;
    }
  }
  EXPECT_GE(deepest, 3) << "the universe is too sparse to test anything";
}

// ---- with eviction: what is answered is never the tensors of another prefix

// Writers of two kinds share the partition, each as an inference node does it: look up, read, write
// what is missing in order. Some prove their prefix and have hashes of a block's own tokens, which
// collide; some prove nothing and have hashes of the whole prefix. (Colliding hashes without a
// proof are what the parent rule cannot tell apart, whoever applies it.) The buffer says for which
// prefix it was computed.
TEST_P(ModelTest, NeverServesTheTensorsOfAnotherPrefix) {
  const auto text = [](const Prefix& prefix, size_t blocks) {
    std::string all = "computed for";
    for (size_t i = 0; i < blocks; ++i) all += " " + std::to_string(prefix[i]);
    return all + std::string(9'000, '.');
  };
  constexpr uint64_t kCapacity = 200'000, kMemory = 60'000;  // about 16 blocks, and 6
  Open(kCapacity, kMemory);
  int hits = 0;
  uint64_t evicted = 0;
  for (int step = 0; step < 1200; ++step) {
    if (step % 300 == 299) {
      evicted += store_->stats().evicted_chunks;
      Open(kCapacity, step % 600 == 299 ? 0 : kMemory);
    }
    const Prefix prompt = AnyPrefix(6);
    const bool proves = random_() % 3 == 0;
    const auto digests = PrefixDigests(PromptOf(prompt));
    const auto hash_of = [&](size_t i) {
      uint64_t chained;
      std::memcpy(&chained, digests[i].data(), sizeof chained);
      return proves ? 1 + static_cast<uint64_t>(prompt[i]) : chained;
    };
    std::vector<uint64_t> hashes;
    for (size_t i = 0; i < prompt.size(); ++i) hashes.push_back(hash_of(i));
    if (random_() % 4 == 0) hashes.clear();
    const auto found = LookupNow(*store_, PromptOf(prompt), hashes);
    for (size_t i = 0; i < found.size(); ++i) {
      const auto read = ReadNow(*store_, found[i].location);
      ASSERT_TRUE(read.ok()) << read.status();
      ASSERT_EQ(BufferOf(read->chunk), text(prompt, i + 1)) << "step " << step << " block " << i;
      ++hits;
    }
    for (size_t i = found.size(); i < prompt.size(); ++i) {
      TestChunk chunk{.hash = hash_of(i),
                      .parent = i ? hash_of(i - 1) : 0,
                      .tokens = BlockOf(prompt[i]),
                      .buffer = text(prompt, i + 1)};
      if (proves) chunk.digest = digests[i];
      ASSERT_TRUE(WriteNow(*store_, chunk).ok());
    }
  }
  EXPECT_GT(hits, 500);
  EXPECT_GT(evicted, 100u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, ModelTest, testing::Range(1, 11));

}  // namespace
}  // namespace kvstore
