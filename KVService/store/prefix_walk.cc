#include "KVService/store/prefix_walk.h"

#include <algorithm>
#include <optional>

#include "absl/container/inlined_vector.h"

namespace kvstore {
namespace {

// Versions carried from one block to the next. More only ever come of misuse: each is another
// model's, or a rewrite of the same prompt with other hashes.
constexpr size_t kMaxCandidates = 16;

struct Candidate {
  BlockVersion version;
  uint32_t previous = 0;  // which candidate of the block before
  uint32_t breaks = 0;    // blocks so far whose parent hash is not the hash before them
};
using Candidates = absl::InlinedVector<Candidate, 1>;

class Walk {
 public:
  Walk(const PrefixIndex& index, const Space& space, bool by_parent)
      : index_(index), space_(space), any_by_parent_(by_parent && index.HasBlocksByParent(space)) {}

  // Matches the next block; false where it is not there.
  bool Step(BlockTokens block, uint64_t wanted_hash) {
    digest_ = PrefixDigest(digest_, block);
    const uint32_t crc = TokensCrc(block);
    Candidates found;
    for (const auto& version : index_.Find(space_, *digest_, crc)) {
      if (wanted_hash == 0 || version.hash == wanted_hash) {
        AddProved({*digest_, crc, version.hash}, version.parent_hash, &found);
      }
    }
    if (any_by_parent_ && !levels_.empty()) AddByParent(block, crc, wanted_hash, &found);
    if (found.empty()) return false;
    levels_.push_back(std::move(found));
    return true;
  }

  std::vector<BlockVersion> BestChain() const {
    std::vector<BlockVersion> chain(levels_.size());
    if (levels_.empty()) return chain;
    size_t at = FewestBreaks(levels_.back());
    for (size_t i = levels_.size(); i > 0; --i) {
      const Candidate& candidate = levels_[i - 1][at];
      chain[i - 1] = candidate.version;
      at = candidate.previous;
    }
    return chain;
  }

 private:
  static size_t FewestBreaks(const Candidates& candidates) {
    size_t best = 0;
    for (size_t i = 1; i < candidates.size(); ++i) {
      if (candidates[i].breaks < candidates[best].breaks) best = i;
    }
    return best;
  }

  void Add(const BlockVersion& version, uint32_t previous, uint32_t breaks, Candidates* found) {
    if (found->size() < kMaxCandidates) found->push_back({version, previous, breaks});
  }

  // Proved by the prefix digest: may follow any candidate, best one that it names as its parent.
  void AddProved(const BlockVersion& version, uint64_t parent_hash, Candidates* found) {
    if (levels_.empty()) {
      Add(version, 0, parent_hash != 0, found);
      return;
    }
    const Candidates& before = levels_.back();
    size_t best = before.size();
    for (size_t i = 0; i < before.size(); ++i) {
      const bool named = before[i].version.hash == parent_hash;
      if (named && (best == before.size() || before[i].breaks < before[best].breaks)) best = i;
    }
    const bool broken = best == before.size();
    if (broken) best = FewestBreaks(before);
    Add(version, static_cast<uint32_t>(best), before[best].breaks + broken, found);
  }

  void AddByParent(BlockTokens block, uint32_t crc, uint64_t wanted_hash, Candidates* found) {
    const Candidates& before = levels_.back();
    for (uint32_t i = 0; i < before.size(); ++i) {
      const uint64_t parent = before[i].version.hash;
      // 0 says "no parent", so nothing can follow a block that bears it.
      if (parent == 0 || index_.CountBearing(space_, parent) != 1) continue;
      const Digest digest = ParentDigest(parent, block);
      for (const auto& version : index_.Find(space_, digest, crc)) {
        if (wanted_hash != 0 && version.hash != wanted_hash) continue;
        Add({digest, crc, version.hash}, i, before[i].breaks, found);
      }
    }
  }

  const PrefixIndex& index_;
  const Space& space_;
  const bool any_by_parent_;
  std::optional<Digest> digest_;
  std::vector<Candidates> levels_;
};

}  // namespace

std::vector<BlockVersion> WalkPrefix(const PrefixIndex& index, const Space& space,
                                     std::span<const Token> tokens,
                                     std::span<const uint64_t> precomputed_hashes, bool by_parent) {
  Walk walk(index, space, by_parent);
  for (size_t i = 0; (i + 1) * kBlockTokens <= tokens.size(); ++i) {
    const uint64_t wanted = i < precomputed_hashes.size() ? precomputed_hashes[i] : 0;
    if (!walk.Step(tokens.subspan(i * kBlockTokens).first<kBlockTokens>(), wanted)) break;
  }
  return walk.BestChain();
}

}  // namespace kvstore
