// What a chunk is to the store: whether it is fit to be stored, which version of which block it is,
// and what its blob has to say beside its name.
#ifndef KVSERVICE_STORE_CHUNK_IDENTITY_H_
#define KVSERVICE_STORE_CHUNK_IDENTITY_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "KVCommon/wire.h"
#include "KVService/block/block_id.h"
#include "absl/status/status.h"

namespace kvstore {

// INVALID_ARGUMENT unless the chunk has exactly 128 tokens, a buffer that is not empty and not too
// large, and names of a sane length.
absl::Status ValidateChunk(const wire::Chunk& chunk);

// REQUIRES: ValidateChunk.
BlockVersion VersionOf(const wire::Chunk& chunk);

// Whether a block's prefix is known only as its parent's hash: its writer gave no prefix digest,
// and it is not a prompt's first.
inline bool IsByParent(const wire::Chunk& chunk) {
  return !chunk.prefix_digest && chunk.parent_hash != 0;
}

// Kept with a block's blob, so that a restart knows what the name cannot tell:
//   parent hash, 8 | creation time in microseconds since 1970, 8 | 1 where by parent, else 0
// all little-endian.
struct BlockAttributes {
  uint64_t parent_hash = 0;
  int64_t created_us = 0;
  bool by_parent = false;
};
std::string EncodeAttributes(const BlockAttributes& attributes);
std::optional<BlockAttributes> DecodeAttributes(std::string_view bytes);

// Whether a block may come back after its deletion, as its attributes say. Not one that is matched
// through its parent: the parent's hash may by now be another's.
bool MayReturn(std::string_view attributes);

}  // namespace kvstore

#endif  // KVSERVICE_STORE_CHUNK_IDENTITY_H_
