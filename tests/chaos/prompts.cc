#include "tests/chaos/prompts.h"

#include <algorithm>

#include "KVCommon/digest.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace kvstore::chaos {
namespace {

uint64_t Mixed(uint64_t x) {  // SplitMix64
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

void AppendTokens(uint64_t seed, std::vector<Token>* tokens) {
  for (size_t i = 0; i < kTokensPerBlock; ++i) {
    tokens->push_back(static_cast<Token>(Mixed(seed + i) % 128'000));
  }
}

size_t SizeOf(const Digest& digest) {
  return (size_t{digest[0] % 6u} + 1) * 16'384 + digest[1] * 7 + 1;
}

}  // namespace

Prompt MakePrompt(uint64_t seed, const PromptName& name, size_t blocks) {
  Prompt prompt;
  prompt.name = name;
  const int64_t group = name.number % kSystemPrompts;
  prompt.partition = absl::StrCat("model-", group % 2);
  uint64_t own = seed;
  for (const int64_t part : {int64_t{name.kind}, name.owner, name.number}) {
    own = Mixed(own ^ Mixed(static_cast<uint64_t>(part)));
  }
  for (size_t i = 0; i < blocks; ++i) {
    const bool shared = name.kind == PromptName::kConversation && i < kSystemBlocks;
    const uint64_t from = shared ? Mixed(seed + static_cast<uint64_t>(group) + 1) : own;
    AppendTokens(Mixed(from + i), &prompt.tokens);
  }
  prompt.hashes = Client::BlockHashes(prompt.tokens);
  for (const Digest& digest : PrefixDigests(prompt.tokens)) {
    prompt.keys.push_back(absl::StrFormat("%d:%s", group % 2, ToHex(std::span(digest).first(8))));
    prompt.seeds.push_back(playground::SeedOf(prompt.partition, digest));
    prompt.sizes.push_back(SizeOf(digest));
  }
  return prompt;
}

std::vector<std::byte> Prompt::BufferOf(size_t block) const {
  std::vector<std::byte> buffer(sizes[block]);
  playground::FillBlock(seeds[block], buffer);
  return buffer;
}

char Judge(const Prompt& prompt, size_t block, const BlockAnswer& answer,
           std::span<const std::byte> memory) {
  if (absl::IsOutOfRange(answer.status)) return 'w';
  if (!answer.status.ok()) return 'f';
  if (!answer.found) return 'm';
  const std::span<const Token> tokens = prompt.TokensOf(block);
  const bool right =
      answer.bytes == prompt.sizes[block] && answer.bytes <= memory.size() &&
      !playground::FirstDifference(prompt.seeds[block], memory.first(answer.bytes)) &&
      answer.partition == prompt.partition && answer.hash == prompt.hashes[block] &&
      std::equal(tokens.begin(), tokens.end(), answer.tokens.begin(), answer.tokens.end());
  return right ? 'o' : 'w';
}

}  // namespace kvstore::chaos
