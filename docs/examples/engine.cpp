// What an inference engine does with a prompt: read the blocks that are stored straight into its
// own memory, compute the others, store those. Needs a server, as quickstart does.
#include <cstdio>
#include <cstring>
#include <numeric>

#include "kvstore/client.h"

namespace {

constexpr size_t kBlockBytes = 1258291;

// Stands for prefill: one block's tensors, which depend on every token up to its end.
void Compute(std::span<const Token> prefix, std::span<std::byte> tensors) {
  const Token sum = std::accumulate(prefix.begin(), prefix.end(), Token{0});
  std::memset(tensors.data(), static_cast<int>(sum & 0xff), tensors.size());
}

int Serve(kvstore::Client& client, std::span<const Token> prompt) {
  const size_t blocks = prompt.size() / kvstore::kTokensPerBlock;
  std::vector<std::byte> cache(blocks * kBlockBytes);  // pinned memory in an engine
  std::vector<std::span<std::byte>> slots;
  for (size_t i = 0; i < blocks; ++i) {
    slots.push_back(std::span(cache).subspan(i * kBlockBytes, kBlockBytes));
  }

  const std::vector<hash_t> hashes = kvstore::Client::BlockHashes(prompt);
  const auto found = client.Lookup("llama-70b", prompt, hashes, {.completion_id = "request-1"});
  std::vector<std::string> locations;
  if (found.ok()) {  // without a cache the engine computes everything
    for (const BlockLocation& block : found->locations) locations.push_back(block.location);
  }
  const auto reads = client.StreamingRead(locations, std::span(slots).first(locations.size()));
  size_t have = 0;  // a block counts only behind an unbroken prefix
  while (have < reads.size() && reads[have].found && reads[have].bytes == kBlockBytes) ++have;

  for (size_t i = have; i < blocks; ++i) {
    Compute(prompt.first((i + 1) * kvstore::kTokensPerBlock), slots[i]);
  }
  const std::vector<std::span<const std::byte>> computed(slots.begin() + have, slots.end());
  const auto written = client.WritePrompt("llama-70b", prompt, have, computed);
  if (!written.ok()) {
    std::fprintf(stderr, "%s\n", written.status().ToString().c_str());
    return 1;
  }
  std::printf("%zu blocks read, %d computed and stored\n", have, written->blocks_written);
  return 0;
}

}  // namespace

int main() {
  const auto client = kvstore::Client::Create({.resource = "account", .container = "models"});
  if (!client.ok()) {
    std::fprintf(stderr, "%s\n", client.status().ToString().c_str());
    return 1;
  }
  std::vector<Token> prompt(8 * kvstore::kTokensPerBlock);
  std::iota(prompt.begin(), prompt.end(), 1);
  return Serve(**client, prompt);
}
