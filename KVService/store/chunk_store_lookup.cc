// Lookup, and what the store knows of a storage that other servers share.
#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "KVService/block/location_memo.h"
#include "KVService/store/chunk_identity.h"
#include "KVService/store/chunk_store.h"
#include "KVService/store/prefix_walk.h"
#include "absl/time/clock.h"

namespace kvstore {
namespace {

// At most, of a Lookup that has to ask the storage.
constexpr absl::Duration kProbeTimeout = absl::Seconds(5);

// What the Bloom filter knows a block by: what a Lookup can tell without its hash.
uint64_t BloomKey(const Space& space, const Digest& digest, uint32_t tokens_crc) {
  uint64_t from_digest, from_space;
  std::memcpy(&from_digest, digest.data(), sizeof from_digest);
  std::memcpy(&from_space, space.data(), sizeof from_space);
  return from_digest ^ from_space ^ tokens_crc;
}

struct Partition {
  Container container;
  std::string name;
  PartitionDigest digest{};
  Space space{};
};

// A partition in the store's terms. Stays until the thread's next call: many Lookups in a row are
// of one, and to compare its names takes less than to hash them.
const Partition& Identify(const Container& container, std::string_view name) {
  thread_local std::optional<Partition> last;
  if (!last || last->container != container || last->name != name) {
    const PartitionDigest digest = DigestPartition(name);
    last = {container, std::string(name), digest, SpaceOf(container, digest)};
  }
  return *last;
}

}  // namespace

// What a Lookup asks for, in the store's terms.
struct ChunkStore::Search {
  const Container& container;
  PartitionDigest partition;
  Space space;
  const PackedTokens& tokens;
  std::span<const uint64_t> precomputed_hashes;
  const LocationCodec* codec;
};

// A Lookup that may have to wait, with all that it asks for.
struct ChunkStore::Looking {
  Container container;
  PartitionDigest partition{};
  Space space{};
  PackedTokens tokens;
  std::vector<uint64_t> precomputed_hashes;
  absl::Time deadline;
  absl::Time start = absl::Now();
  const LocationCodec* codec = nullptr;
  int64_t storage_us = 0;
  LookupDone done;
  std::shared_ptr<const Origin> origin;

  Search search() const { return {container, partition, space, tokens, precomputed_hashes, codec}; }
};

void ChunkStore::Lookup(const Container& container, const LookupQuery& query, absl::Time deadline,
                        LookupDone done, std::shared_ptr<const Origin> origin) {
  if (shared_) {
    return LookUpShared(container, query, deadline, std::move(done), std::move(origin));
  }
  const Partition& partition = Identify(container, query.partition);
  const Search search{container,    partition.digest,         partition.space,
                      query.tokens, query.precomputed_hashes, &locations_};
  thread_local std::vector<MatchedBlock> chain;
  WalkPrefix(index_, search.space, query.tokens, query.precomputed_hashes, true, &chain);
  std::move(done)(Found(search, chain));
}

ChunkStore::LookupResult ChunkStore::Found(const Search& search,
                                           std::span<const MatchedBlock> chain) {
  thread_local std::vector<BlockId> ids;
  thread_local std::vector<PrefixIndex::Handle> handles;
  thread_local std::vector<bool> in_ram;
  thread_local LocationMemo memo;
  ids.clear();
  handles.clear();
  LookupResult result;
  result.blocks.reserve(chain.size());
  for (const MatchedBlock& block : chain) {
    const BlockId& id = ids.emplace_back(BlockId{search.space, block.version});
    result.blocks.push_back({block.version.hash,
                             memo.Encode(*search.codec, search.container, search.partition, id),
                             uint64_t{block.footprint_kib} * 1024});
    handles.push_back(block.handle);
  }
  const size_t asked = search.tokens.blocks();
  index_.Touch(handles, asked);
  ram_.Touch(ids, asked, &in_ram);
  SetTiers(search, ids, in_ram, &result);
  if (options_.prefetch) Prefetch(search.container, search.partition, ids);
  return result;
}

void ChunkStore::SetTiers(const Search& search, std::span<const BlockId> ids,
                          const std::vector<bool>& in_ram, LookupResult* result) const {
  thread_local std::vector<size_t> below;
  below.clear();
  for (size_t i = 0; i < ids.size(); ++i) {
    result->blocks[i].tier = in_ram[i]  ? wire::BlockTier::kRam
                             : !shared_ ? wire::BlockTier::kDisk
                                        : wire::BlockTier::kRemote;
    if (!in_ram[i]) below.push_back(i);
  }
  if (!shared_ || below.empty()) return;
  const auto id = [&](size_t k) {
    return BlobId{search.container.account, search.container.name,
                  BlobNameOf(search.partition, ids[below[k]].version)};
  };
  shared_->FindLocal(below.size(), id,
                     [&](size_t k) { result->blocks[below[k]].tier = wire::BlockTier::kDisk; });
}

// ---- of a storage that is shared

void ChunkStore::LookUpShared(const Container& container, const LookupQuery& query,
                              absl::Time deadline, LookupDone done,
                              std::shared_ptr<const Origin> origin) {
  if (!Begin()) return std::move(done)(ClosedError());
  auto looking = std::make_unique<Looking>();
  looking->container = container;
  const Partition& partition = Identify(container, query.partition);
  looking->partition = partition.digest;
  looking->space = partition.space;
  looking->tokens = query.tokens;
  looking->precomputed_hashes.assign(query.precomputed_hashes.begin(),
                                     query.precomputed_hashes.end());
  looking->deadline = deadline;
  looking->origin = std::move(origin);
  looking->done = [this, done = std::move(done)](auto result) mutable {
    std::move(done)(std::move(result));
    End();
  };
  containers_.Open(
      container, SharedContainers::Use::kRead,
      [this, looking = std::move(looking)](absl::StatusOr<const LocationCodec*> codec) mutable {
        if (codec.ok()) {
          looking->codec = *codec;
          return Walk(std::move(looking), true);
        }
        LookupDone done = std::move(looking->done);
        // Nobody has written to it.
        if (absl::IsNotFound(codec.status())) return std::move(done)(LookupResult());
        std::move(done)(codec.status());
      });
}

void ChunkStore::Walk(std::unique_ptr<Looking> looking, bool may_probe) {
  const Search search = looking->search();
  const bool up_to_date = shared_->UpToDate(looking->container.account, looking->container.name);
  const bool complete = up_to_date && forgotten_.load(std::memory_order_relaxed) == 0;
  std::vector<MatchedBlock> chain;
  WalkPrefix(index_, search.space, search.tokens, search.precomputed_hashes, complete, &chain);

  if (may_probe && !complete && chain.size() < search.tokens.blocks()) {
    std::vector<WantedBlock> wanted = WorthProbing(search, chain.size(), up_to_date);
    if (!wanted.empty()) {
      const Patience patience(std::min(looking->deadline, absl::Now() + kProbeTimeout), nullptr,
                              looking->origin);
      const Container container = looking->container;
      const PartitionDigest partition = looking->partition;
      return ProbeBlocks(
          shared_, container, partition, std::move(wanted), patience,
          [this, up_to_date, looking = std::move(looking)](const ProbeResult& result) mutable {
            probes_.fetch_add(result.asked);
            probes_found_.fetch_add(result.answered);
            if (up_to_date) {
              bloom_probes_.fetch_add(result.asked);
              bloom_probes_found_.fetch_add(result.answered);
            }
            for (const BlobInfo& info : result.found) LearnFrom(info);
            looking->storage_us = MicrosecondsSince(looking->start);
            Walk(std::move(looking), false);
          });
    }
  }
  LookupResult result = Found(search, chain);
  result.storage_us = looking->storage_us;
  if (looking->storage_us > 0) ForgetColdest();  // not before what was just learned is hot
  std::move(looking->done)(std::move(result));
}

// Where all that the log has told was kept or is in the filter, its "no" ends the search.
std::vector<WantedBlock> ChunkStore::WorthProbing(const Search& search, size_t found,
                                                  bool up_to_date) {
  std::vector<WantedBlock> wanted = WantedBlocks(search.tokens, search.precomputed_hashes, found);
  if (!up_to_date) return wanted;
  const auto denied = std::find_if(wanted.begin(), wanted.end(), [&](const WantedBlock& block) {
    return !bloom_.MayContain(BloomKey(search.space, block.digest, block.tokens_crc));
  });
  if (denied != wanted.end()) bloom_denied_.fetch_add(1, std::memory_order_relaxed);
  wanted.erase(denied, wanted.end());
  return wanted;
}

void ChunkStore::Prefetch(const Container& container, const PartitionDigest& partition,
                          std::span<const BlockId> blocks) {
  for (const BlockId& id : blocks) {
    if (ram_.Contains(id)) continue;
    if (prefetching_.fetch_add(1) >= kMaxPrefetches || !Begin()) {
      prefetching_.fetch_sub(1);
      return;
    }
    Fetch(container, partition, id, {.done = [this](const absl::StatusOr<ReadResult>&) {
            prefetching_.fetch_sub(1);
            End();
          }});
  }
}

void ChunkStore::Learn(const Container& container, const PartitionDigest& partition,
                       const BlockId& id, const IndexedBlock& block) {
  if (shared_) bloom_.Add(BloomKey(id.space, id.version.digest, id.version.tokens_crc));
  index_.Insert(container, partition, id, block);
}

void ChunkStore::LearnFrom(const BlobInfo& info) {
  const std::optional<NamedBlock> block = ParseBlobName(info.id.name);
  const std::optional<BlockAttributes> attributes = DecodeAttributes(info.attributes);
  if (!block || !attributes) return;
  const Container container{info.id.account, info.id.container};
  const BlockId id{SpaceOf(container, block->partition), block->version};
  {
    absl::MutexLock lock(&mutex_);
    if (deleting_.contains(id)) return;  // news of before
    Learn(container, block->partition, id,
          {attributes->parent_hash, info.footprint, attributes->by_parent});
  }
}

void ChunkStore::ForgetColdest() {
  if (options_.max_index_blocks == 0 || index_.size() <= options_.max_index_blocks) return;
  forgotten_.fetch_add(index_.ShrinkTo(options_.max_index_blocks));
}

void ChunkStore::OnChanges(std::span<const BlobChange> changes) {
  for (const BlobChange& change : changes) {
    if (!change.deleted) {
      LearnFrom(change.blob);
      continue;
    }
    const std::optional<NamedBlock> block = ParseBlobName(change.blob.id.name);
    if (!block) continue;
    const Container container{change.blob.id.account, change.blob.id.container};
    std::vector<PrefixIndex::Removed> removed;
    {
      absl::MutexLock lock(&mutex_);
      // What hangs on it goes, too; who deleted it deletes them.
      removed = index_.Remove({SpaceOf(container, block->partition), block->version});
      for (const PrefixIndex::Removed& gone : removed) OrphanWrites(gone);
    }
    for (const PrefixIndex::Removed& gone : removed) ram_.Erase(gone.id);
  }
  ForgetColdest();
}

}  // namespace kvstore
