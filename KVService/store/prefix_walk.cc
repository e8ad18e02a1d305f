#include "KVService/store/prefix_walk.h"

#include <algorithm>
#include <array>
#include <optional>

#include "KVService/store/prefix_digester.h"

namespace kvstore {
namespace {

// Versions carried from one block to the next. More only ever come of misuse: each is another
// model's, or a rewrite of the same prompt with other hashes.
constexpr size_t kMaxCandidates = 16;

// Blocks that are hashed and looked up together: few at first, since a prompt that is not there
// ends the walk at once.
constexpr size_t kFirstBatch = 4;
constexpr size_t kLargestBatch = 64;

struct Candidate {
  MatchedBlock block;
  uint32_t previous = 0;  // which candidate of the block before
  uint32_t breaks = 0;    // blocks so far whose parent hash is not the hash before them
};

// The candidates of all blocks so far, one vector for all, so that a thread's scratch is reused.
class Levels {
 public:
  void Clear() {
    candidates_.clear();
    ends_.clear();
  }
  size_t size() const { return ends_.size(); }
  bool empty() const { return ends_.empty(); }
  std::span<const Candidate> operator[](size_t level) const {
    const size_t begin = level == 0 ? 0 : ends_[level - 1];
    return std::span(candidates_).subspan(begin, ends_[level] - begin);
  }
  std::span<const Candidate> back() const { return (*this)[size() - 1]; }

  // Adds to the level that is being made; beyond kMaxCandidates they are not seen.
  void Add(const Candidate& candidate) {
    if (pending() < kMaxCandidates) candidates_.push_back(candidate);
  }
  size_t pending() const { return candidates_.size() - (empty() ? 0 : ends_.back()); }
  void EndLevel() { ends_.push_back(candidates_.size()); }

 private:
  std::vector<Candidate> candidates_;
  std::vector<size_t> ends_;
};

size_t FewestBreaks(std::span<const Candidate> candidates) {
  size_t best = 0;
  for (size_t i = 1; i < candidates.size(); ++i) {
    if (candidates[i].breaks < candidates[best].breaks) best = i;
  }
  return best;
}

struct Scratch {
  PrefixDigester digester;
  Levels levels;
  std::vector<BlockDigest> wanted;
};

class Walk {
 public:
  Walk(const PrefixIndex& index, const Space& space, const PackedTokens& tokens,
       std::span<const uint64_t> hashes, bool by_parent, Scratch* scratch)
      : index_(index),
        space_(space),
        blocks_(tokens.blocks()),
        hashes_(hashes),
        any_by_parent_(by_parent && index.HasBlocksByParent(space)),
        left_(tokens.bytes()),
        digester_(scratch->digester),
        levels_(scratch->levels),
        wanted_(scratch->wanted) {
    levels_.Clear();
  }

  void Run() {
    // With blocks by parent each step asks the index more, which it must not do under its lock.
    size_t batch = any_by_parent_ ? 1 : kFirstBatch;
    while (levels_.size() < blocks_) {
      const size_t count = std::min(batch, blocks_ - levels_.size());
      if (!MatchBatch(count)) return;
      if (!any_by_parent_) batch = std::min(batch * 2, kLargestBatch);
    }
  }

  void BestChain(std::vector<MatchedBlock>* chain) const {
    chain->resize(levels_.size());
    if (levels_.empty()) return;
    size_t at = FewestBreaks(levels_.back());
    for (size_t i = levels_.size(); i > 0; --i) {
      const Candidate& candidate = levels_[i - 1][at];
      (*chain)[i - 1] = candidate.block;
      at = candidate.previous;
    }
  }

 private:
  bool Fits(size_t i, uint64_t hash) const {
    return i >= hashes_.size() || hashes_[i] == 0 || hashes_[i] == hash;
  }

  // Matches the next `count` blocks; false where one of them is not there.
  bool MatchBatch(size_t count) {
    const size_t first = levels_.size();
    wanted_.resize(count);
    last_ = left_;
    for (size_t i = 0; i < count; ++i) {
      const PrefixDigester::Block block = digester_.Run(digest_, left_);
      wanted_[i] = block.digest;
      digest_ = block.digest.digest;
      left_ = left_.subspan(block.packed_bytes);
    }
    index_.FindEach(space_, wanted_, [&](size_t i, const PrefixIndex::Versions& versions) {
      for (const PrefixIndex::Version& version : versions) {
        if (Fits(first + i, version.hash)) AddProved(wanted_[i], version);
      }
      if (any_by_parent_) return false;  // there is one only, and it is not done
      if (levels_.pending() == 0) return false;
      levels_.EndLevel();
      return true;
    });
    if (any_by_parent_) {
      if (first > 0) AddByParent(first);
      if (levels_.pending() > 0) levels_.EndLevel();
    }
    return levels_.size() == first + count;
  }

  // Proved by the prefix digest: may follow any candidate, best one that it names as its parent.
  void AddProved(const BlockDigest& wanted, const PrefixIndex::Version& version) {
    const MatchedBlock block{
        {wanted.digest, wanted.tokens_crc, version.hash}, version.handle, version.footprint_kib};
    if (levels_.empty()) {
      levels_.Add({block, 0, version.parent_hash != 0});
      return;
    }
    const std::span<const Candidate> before = levels_.back();
    size_t best = before.size();
    for (size_t i = 0; i < before.size(); ++i) {
      const bool named = before[i].block.version.hash == version.parent_hash;
      if (named && (best == before.size() || before[i].breaks < before[best].breaks)) best = i;
    }
    const bool broken = best == before.size();
    if (broken) best = FewestBreaks(before);
    levels_.Add({block, static_cast<uint32_t>(best), before[best].breaks + broken});
  }

  void AddByParent(size_t level) {
    std::array<Token, kBlockTokens> block;
    UnpackBlock(last_, block);
    const uint32_t crc = wanted_[0].tokens_crc;
    for (uint32_t i = 0; i < levels_[level - 1].size(); ++i) {
      const uint64_t parent = levels_[level - 1][i].block.version.hash;
      // 0 says "no parent", so nothing can follow a block that bears it.
      if (parent == 0 || index_.CountBearing(space_, parent) != 1) continue;
      const Digest digest = ParentDigest(parent, block);
      for (const PrefixIndex::Version& version : index_.Find(space_, digest, crc)) {
        if (!Fits(level, version.hash)) continue;
        const uint32_t breaks = levels_[level - 1][i].breaks;
        levels_.Add({{{digest, crc, version.hash}, version.handle}, i, breaks});
      }
    }
  }

  const PrefixIndex& index_;
  const Space& space_;
  const size_t blocks_;
  const std::span<const uint64_t> hashes_;
  const bool any_by_parent_;
  ByteView left_;  // of the tokens
  ByteView last_;  // from the batch on that is being matched
  std::optional<Digest> digest_;
  PrefixDigester& digester_;
  Levels& levels_;
  std::vector<BlockDigest>& wanted_;
};

}  // namespace

void WalkPrefix(const PrefixIndex& index, const Space& space, const PackedTokens& tokens,
                std::span<const uint64_t> precomputed_hashes, bool by_parent,
                std::vector<MatchedBlock>* chain) {
  thread_local Scratch scratch;
  Walk walk(index, space, tokens, precomputed_hashes, by_parent, &scratch);
  walk.Run();
  walk.BestChain(chain);
}

}  // namespace kvstore
