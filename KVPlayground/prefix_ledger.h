// What an endless cache would hold: the prefix digests seen so far. It gives the ideal hit ratio,
// and tells which earlier request computes the blocks that a request would hit.
#ifndef KVPLAYGROUND_PREFIX_LEDGER_H_
#define KVPLAYGROUND_PREFIX_LEDGER_H_

#include <cstdint>
#include <optional>
#include <span>

#include "KVCommon/digest.h"
#include "absl/container/flat_hash_map.h"

namespace kvstore::playground {

// About 50 bytes a distinct block. Not thread-safe.
class PrefixLedger {
 public:
  struct Admission {
    size_t seen = 0;  // leading blocks that an earlier request had
    // The earlier request that first had the last of them; whoever had the ones before it had
    // them no later.
    std::optional<uint64_t> owner;
  };

  // The request's blocks count as seen from now on. Requests have ascending numbers.
  Admission Admit(uint64_t request, std::span<const Digest> digests);

  uint64_t blocks() const { return blocks_; }
  uint64_t seen() const { return seen_; }
  // seen() / blocks(); 0 without blocks.
  double IdealHitRatio() const;

 private:
  // Half a digest: 2^40 blocks still collide with a probability below 2^-48.
  using Key = std::pair<uint64_t, uint64_t>;

  absl::flat_hash_map<Key, uint64_t> owners_;
  uint64_t blocks_ = 0;
  uint64_t seen_ = 0;
};

}  // namespace kvstore::playground

#endif  // KVPLAYGROUND_PREFIX_LEDGER_H_
