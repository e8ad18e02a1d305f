// The Lookup walk: which leading blocks of a prompt exist, proved block by block.
#ifndef KVSERVICE_STORE_PREFIX_WALK_H_
#define KVSERVICE_STORE_PREFIX_WALK_H_

#include <cstdint>
#include <span>
#include <vector>

#include "KVCommon/packed_tokens.h"
#include "KVService/index/prefix_index.h"

namespace kvstore {

struct MatchedBlock {
  BlockVersion version;
  PrefixIndex::Handle handle = 0;
  uint32_t footprint_kib = 0;
};

// Walks the full blocks of `tokens` from the first and stops at the first that is not there.
// Block i is matched by
//  - its prefix digest, which proves every token before it, or
//  - where its writer gave none: its own tokens and its parent's hash, if block i-1 was matched by
//    a version with that hash and no second version in the partition bears it.
// In both cases the version must bear precomputed_hashes[i] where that is given and not 0.
//
// Versions of other models live side by side under the same tokens, so every version that fits is
// carried along; of the longest chains the one is returned in which most blocks name the block
// before as their parent, the oldest where they tie.
//
// `by_parent`: whether the second rule may be used. It takes an index that is complete.
//
// Fills `chain` with what matches, first block first. Costs one digest a block that is there (and
// of some behind the last, since blocks are looked up several at a time), and one more where the
// partition holds blocks without a prefix digest. Allocates nothing once `chain` and the thread's
// own scratch have grown.
void WalkPrefix(const PrefixIndex& index, const Space& space, const PackedTokens& tokens,
                std::span<const uint64_t> precomputed_hashes, bool by_parent,
                std::vector<MatchedBlock>* chain);

}  // namespace kvstore

#endif  // KVSERVICE_STORE_PREFIX_WALK_H_
