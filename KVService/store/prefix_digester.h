// The digests of a prompt's blocks, computed once for prompts that come again: a conversation's
// next turn, a system prompt, a retry. SHA-256 of a block takes a microsecond, and proving that the
// block is one whose digest is known a twentieth of that.
#ifndef KVSERVICE_STORE_PREFIX_DIGESTER_H_
#define KVSERVICE_STORE_PREFIX_DIGESTER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "KVCommon/chunked_vector.h"
#include "KVCommon/digest.h"
#include "KVCommon/packed_tokens.h"
#include "KVService/block/block_id.h"

namespace kvstore {

// Keeps the last blocks that it saw, with all their tokens as they came, packed: what it gives is
// always what PrefixDigest and TokensCrc give, since it compares everything that they depend on.
// Not thread-safe: one a thread.
class PrefixDigester {
 public:
  // 4 MiB.
  static constexpr size_t kEntries = 5700;

  // Of a larger one nothing is kept. Token numbers of up to 35 bits fit.
  static constexpr size_t kMostPackedBytes = 5 * kBlockTokens;

  struct Block {
    BlockDigest digest;
    size_t packed_bytes = 0;
  };
  // As PrefixDigest(previous, block) and TokensCrc(block) of the block that `packed` begins with.
  // REQUIRES: a block's tokens at least, of PackedTokens.
  Block Run(const std::optional<Digest>& previous, ByteView packed);

  uint64_t hits() const { return hits_; }

 private:
  struct Entry {
    bool first = false;         // of a prompt
    uint16_t packed_bytes = 0;  // 0: no entry
    Digest previous{};          // where it is not the first
    BlockDigest result;
    std::array<std::byte, kMostPackedBytes> packed{};

    bool Is(const std::optional<Digest>& previous_digest, ByteView at) const;
  };

  static size_t PlaceOf(const std::optional<Digest>& previous, ByteView packed);

  ChunkedVector<Entry> entries_;  // made at the first use
  uint64_t hits_ = 0;
};

}  // namespace kvstore

#endif  // KVSERVICE_STORE_PREFIX_DIGESTER_H_
