// What a block is called: inside this process (BlockId), in storage (its blob's name), and outside
// (a location, see location.h).
#ifndef KVSERVICE_BLOCK_BLOCK_ID_H_
#define KVSERVICE_BLOCK_BLOCK_ID_H_

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "KVCommon/digest.h"

namespace kvstore {

// A storage account's container, by its short names.
struct Container {
  std::string account;
  std::string name;

  bool operator==(const Container&) const = default;
};

using PartitionDigest = std::array<uint8_t, 16>;

// SHA-256 of the partition's name, cut to 128 bits: finding a second name for one takes 2^128
// tries.
PartitionDigest DigestPartition(std::string_view partition);

// One version of a block within its partition. `digest` is what Lookup finds it by: the prefix
// digest where the writer proved its prefix (or the block is a prompt's first, whose prefix is
// itself), else ParentDigest of its parent's hash and tokens. The two never coincide.
//
// `tokens_crc` is the CRC of the block's own tokens: a writer that gives a prefix digest of other
// tokens then misses, where the digest alone would serve it for those.
struct BlockVersion {
  Digest digest{};
  uint32_t tokens_crc = 0;
  uint64_t hash = 0;  // the writer's own

  bool operator==(const BlockVersion&) const = default;
};

// What a block's versions are looked up by.
struct BlockDigest {
  Digest digest{};
  uint32_t tokens_crc = 0;
};

// The partition as all tables in memory know it: SHA-256 of account, container and partition
// digest, cut to 128 bits.
using Space = std::array<uint8_t, 16>;
Space SpaceOf(const Container& container, const PartitionDigest& partition);

// A version in its partition: the key of every table in memory.
struct BlockId {
  Space space{};
  BlockVersion version;

  bool operator==(const BlockId&) const = default;

  // Digests are uniform already: any eight bytes of one are a hash, but for the choice of `hash`.
  template <typename H>
  friend H AbslHashValue(H state, const BlockId& id) {
    uint64_t digest, space;
    std::memcpy(&digest, id.version.digest.data(), sizeof digest);
    std::memcpy(&space, id.space.data(), sizeof space);
    return H::combine(std::move(state), digest, space, id.version.hash);
  }
};

// The name of a version's blob within its container:
//   <partition digest, 32 hex>/<digest, 64 hex><tokens crc, 8 hex>-<hash, 16 hex>
// so that all versions of a block share a prefix.
std::string BlobNameOf(const PartitionDigest& partition, const BlockVersion& version);

struct NamedBlock {
  PartitionDigest partition{};
  BlockVersion version;
};

// Back from a blob's name; nullopt where it is no block's.
std::optional<NamedBlock> ParseBlobName(std::string_view name);

}  // namespace kvstore

#endif  // KVSERVICE_BLOCK_BLOCK_ID_H_
