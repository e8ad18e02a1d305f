// The prompts of a chaos run. All of them follow from the run's seed, so that any client can read,
// and check every byte of, what any other has written, even one that was killed.
#ifndef TESTS_CHAOS_PROMPTS_H_
#define TESTS_CHAOS_PROMPTS_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "KVPlayground/block_bytes.h"
#include "kvstore/client.h"

namespace kvstore::chaos {

// Which prompt: conversations grow turn by turn and begin with one of few system prompts; singles
// are two blocks that are written one by one, without prefix digests; probes are one block.
struct PromptName {
  enum Kind { kConversation = 0, kSingle = 1, kProbe = 2 };
  int kind = kConversation;
  int64_t owner = 0;  // the worker that writes it
  int64_t number = 0;
};

inline constexpr size_t kLargestBlock = size_t{112} << 10;
inline constexpr int64_t kSystemPrompts = 4;
inline constexpr size_t kSystemBlocks = 3;

struct Prompt {
  PromptName name;
  std::string partition;
  std::vector<Token> tokens;
  std::vector<hash_t> hashes;     // one a block
  std::vector<std::string> keys;  // the checker's names of the blocks: equal if they are equal
  std::vector<playground::BlockSeed> seeds;
  std::vector<size_t> sizes;  // of the blocks' buffers, in bytes

  size_t blocks() const { return hashes.size(); }
  std::span<const Token> TokensOf(size_t block) const {
    return std::span(tokens).subspan(block * kTokensPerBlock, kTokensPerBlock);
  }
  // The tensors of a block, as it must be stored.
  std::vector<std::byte> BufferOf(size_t block) const;
};

// The prompt's first `blocks` blocks.
Prompt MakePrompt(uint64_t seed, const PromptName& name, size_t blocks);

// What a reader found of a block: 'o' all as it must be; 'm' not there; 'f' the read failed;
// 'w' wrong: other bytes, size, tokens or partition. `memory` is where the buffer was put.
char Judge(const Prompt& prompt, size_t block, const BlockAnswer& answer,
           std::span<const std::byte> memory);

}  // namespace kvstore::chaos

#endif  // TESTS_CHAOS_PROMPTS_H_
