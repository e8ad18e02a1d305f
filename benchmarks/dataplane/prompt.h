// The prompts that Lookups ask for: token by token the same in every process.
#ifndef BENCHMARKS_DATAPLANE_PROMPT_H_
#define BENCHMARKS_DATAPLANE_PROMPT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "KVCommon/limits.h"

namespace kvstore::bench {

// As large as today's vocabularies, so tokens take the bytes on the wire that real ones take.
inline constexpr uint64_t kVocabulary = 128'000;
// Of the locations that KVStoreServer gives.
inline constexpr size_t kLocationBytes = 96;

inline std::vector<Token> PromptTokens(size_t blocks, uint64_t seed) {
  std::vector<Token> tokens(blocks * kBlockTokens);
  uint64_t state = seed * 0x9E3779B97F4A7C15u + 1;
  for (Token& token : tokens) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    token = static_cast<Token>((state >> 33) % kVocabulary);
  }
  return tokens;
}

// Readers of one block size share a partition.
inline std::string PartitionOf(size_t bytes) { return "bench-" + std::to_string(bytes); }

}  // namespace kvstore::bench

#endif  // BENCHMARKS_DATAPLANE_PROMPT_H_
