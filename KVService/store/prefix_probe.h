// Finding a prompt's blocks in the storage itself, where the index may not know of them: parallel,
// in waves, and no further than the first gap.
#ifndef KVSERVICE_STORE_PREFIX_PROBE_H_
#define KVSERVICE_STORE_PREFIX_PROBE_H_

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "KVCommon/packed_tokens.h"
#include "KVService/block/block_id.h"
#include "KVService/storage/shared_blob_store.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"

namespace kvstore {

// A block as a Lookup knows it.
struct WantedBlock {
  Digest digest{};  // of its prefix
  uint32_t tokens_crc = 0;
  uint64_t hash = 0;  // 0: any
};

// The full blocks of a prompt, from block `first` on.
std::vector<WantedBlock> WantedBlocks(const PackedTokens& tokens,
                                      std::span<const uint64_t> precomputed_hashes, size_t first);

// Of one wave, about as many as an endpoint has connections.
inline constexpr size_t kProbeWave = 96;

// Asks the storage for the blocks, in order: exactly where the hash is known, by a listing of the
// digest's versions where not. Blocks without a prefix digest are not found that way: what proves
// their parent unambiguous is to know all of a partition.
//
// `done` gets what was found of the waves that were asked, and OK, or the first error; it runs
// once, outside locks.
struct ProbeResult {
  std::vector<BlobInfo> found;
  size_t asked = 0;
  size_t answered = 0;  // of those, blocks of which something was found
  absl::Status status;
};
void ProbeBlocks(SharedBlobStore* storage, const Container& container,
                 const PartitionDigest& partition, std::vector<WantedBlock> wanted,
                 Patience patience, absl::AnyInvocable<void(ProbeResult) &&> done);

}  // namespace kvstore

#endif  // KVSERVICE_STORE_PREFIX_PROBE_H_
