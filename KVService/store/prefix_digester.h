// The digests of a prompt's blocks, computed once for prompts that come again: a conversation's
// next turn, a system prompt, a retry. SHA-256 of a block takes a microsecond, and proving that the
// block is one whose digest is known a tenth of that.
#ifndef KVSERVICE_STORE_PREFIX_DIGESTER_H_
#define KVSERVICE_STORE_PREFIX_DIGESTER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "KVCommon/chunked_vector.h"
#include "KVCommon/digest.h"
#include "KVService/block/block_id.h"

namespace kvstore {

// Keeps the last blocks that it saw, with all their tokens: what it gives is always what
// PrefixDigest and TokensCrc give, since it compares everything that they depend on. Not
// thread-safe: one a thread.
class PrefixDigester {
 public:
  // 4 MiB.
  static constexpr size_t kEntries = 3750;

  // As PrefixDigest(previous, block) and TokensCrc(block).
  BlockDigest Run(const std::optional<Digest>& previous, BlockTokens block);

  uint64_t hits() const { return hits_; }

 private:
  struct Entry {
    bool used = false;
    bool first = false;  // of a prompt
    Digest previous{};   // where it is not
    std::array<Token, kBlockTokens> tokens{};
    BlockDigest result;
  };

  static size_t PlaceOf(const std::optional<Digest>& previous, BlockTokens block);

  ChunkedVector<Entry> entries_;  // made at the first use
  uint64_t hits_ = 0;
};

}  // namespace kvstore

#endif  // KVSERVICE_STORE_PREFIX_DIGESTER_H_
