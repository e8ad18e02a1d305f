// How a Lookup's time and a block's memory grow with the index: prompts of 64 blocks, from 10
// thousand to 10 million blocks. A Lookup here is what happens to the tokens between the request's
// parsing and the answer's encoding: digests, probes, recency. Prints one line of JSON a size.
//
//   prefix_index_benchmark [largest number of blocks]
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>
#include <random>
#include <vector>

#include "KVCommon/digest.h"
#include "KVService/index/prefix_index.h"
#include "KVService/store/prefix_walk.h"

namespace kvstore {
namespace {

constexpr size_t kPromptBlocks = 64;
constexpr size_t kLookups = 4000;

const Container kContainer{"acct", "box"};
const PartitionDigest kPartition = DigestPartition("model");
const Space kSpace = SpaceOf(kContainer, kPartition);

std::vector<Token> Prompt(uint64_t number) {
  std::mt19937_64 random(number);
  std::vector<Token> tokens(kPromptBlocks * kBlockTokens);
  for (Token& token : tokens) token = static_cast<Token>(random() % 100'000);
  return tokens;
}

uint64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  uint64_t total = 0, resident = 0;
  statm >> total >> resident;
  return resident * 4096;
}

void Store(PrefixIndex* index, std::span<const Token> tokens) {
  std::optional<Digest> digest;
  uint64_t parent = 0;
  for (size_t i = 0; i < kPromptBlocks; ++i) {
    const BlockTokens block = tokens.subspan(i * kBlockTokens).first<kBlockTokens>();
    digest = PrefixDigest(digest, block);
    uint64_t hash;
    std::memcpy(&hash, digest->data(), sizeof hash);
    index->Insert(kContainer, kPartition, {kSpace, {*digest, TokensCrc(block), hash}},
                  {parent, 1'262'592, false});
    parent = hash;
  }
}

double Microseconds(std::chrono::steady_clock::duration time) {
  return std::chrono::duration<double, std::micro>(time).count();
}

// The median time of looking up prompts at random. With none of them in the index: of those that
// nobody has stored.
double MedianLookup(PrefixIndex* index, uint64_t prompts, bool stored) {
  std::mt19937_64 random(7);
  std::vector<MatchedBlock> chain;
  std::vector<PrefixIndex::Handle> handles;
  std::vector<double> times;
  for (size_t i = 0; i < kLookups; ++i) {
    const PackedTokens tokens(Prompt(stored ? random() % prompts : ~random()));
    const auto start = std::chrono::steady_clock::now();
    WalkPrefix(*index, kSpace, tokens, {}, true, &chain);
    handles.clear();
    for (const MatchedBlock& block : chain) handles.push_back(block.handle);
    index->Touch(handles, handles.size());
    times.push_back(Microseconds(std::chrono::steady_clock::now() - start));
    if (chain.size() != (stored ? kPromptBlocks : 0)) {
      std::fprintf(stderr, "a lookup found %zu blocks\n", chain.size());
      std::exit(1);
    }
  }
  std::nth_element(times.begin(), times.begin() + kLookups / 2, times.end());
  return times[kLookups / 2];
}

void Run(uint64_t largest) {
  const uint64_t before = ResidentBytes();
  PrefixIndex index;
  uint64_t prompts = 0;
  for (uint64_t blocks = 10'000; blocks <= largest; blocks *= 10) {
    const auto start = std::chrono::steady_clock::now();
    const uint64_t first = prompts;
    for (; prompts * kPromptBlocks < blocks; ++prompts) Store(&index, Prompt(prompts));
    const double stored = Microseconds(std::chrono::steady_clock::now() - start);
    const double count = static_cast<double>(index.size());
    std::printf(
        "{\"blocks\": %zu, \"lookup_us\": %.1f, \"miss_us\": %.1f, \"insert_us\": %.2f, "
        "\"table_bytes_a_block\": %.1f, \"resident_bytes_a_block\": %.1f}\n",
        index.size(), MedianLookup(&index, prompts, true), MedianLookup(&index, prompts, false),
        stored / static_cast<double>((prompts - first) * kPromptBlocks),
        static_cast<double>(index.memory_bytes()) / count,
        static_cast<double>(ResidentBytes() - before) / count);
    std::fflush(stdout);
  }
}

}  // namespace
}  // namespace kvstore

int main(int argc, char** argv) {
  kvstore::Run(argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 10'000'000);
  return 0;
}
