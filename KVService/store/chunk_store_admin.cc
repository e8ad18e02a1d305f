// What administrators ask a ChunkStore for.
#include <algorithm>
#include <utility>

#include "KVService/store/chunk_identity.h"
#include "KVService/store/chunk_store.h"

namespace kvstore {
namespace {

// Versions of one block: as many models as share a partition.
constexpr size_t kMaxVersions = 1000;
constexpr size_t kHashAndDash = 17;  // of a blob's name, behind what all versions of a block share

absl::Status NotFound() { return absl::Status(absl::StatusCode::kNotFound, ""); }

BlobId PartitionPrefix(const Container& container, std::string_view partition) {
  const std::string name = BlobNameOf(DigestPartition(partition), {});
  return {container.account, container.name, name.substr(0, name.find('/') + 1)};
}

BlobId VersionsPrefix(const Container& container, const NamedBlock& block) {
  std::string name = BlobNameOf(block.partition, block.version);
  name.resize(name.size() - kHashAndDash + 1);
  return {container.account, container.name, std::move(name)};
}

}  // namespace

void ChunkStore::WithCodec(const Container& container, CodecDone done) {
  if (!Begin()) return std::move(done)(ClosedError());
  if (!shared_) {
    std::move(done)(&locations_);
    return End();
  }
  containers_.Open(
      container, SharedContainers::Use::kRead,
      [this, done = std::move(done)](absl::StatusOr<const LocationCodec*> codec) mutable {
        std::move(done)(codec);
        End();
      });
}

void ChunkStore::ListBlocks(const LocationCodec* codec, BlobId prefix, size_t limit,
                            absl::Time deadline, StoredBlocksDone done) {
  if (!Begin()) return std::move(done)(ClosedError());
  storage_->ListPrefix(
      std::move(prefix), limit, deadline,
      [this, codec, done = std::move(done)](absl::StatusOr<std::vector<BlobInfo>> infos) mutable {
        if (!infos.ok()) {
          std::move(done)(infos.status());
          return End();
        }
        std::vector<StoredBlock> blocks;
        std::vector<const BlobInfo*> listed;
        for (const BlobInfo& info : *infos) {
          const std::optional<NamedBlock> named = ParseBlobName(info.id.name);
          const std::optional<BlockAttributes> attributes = DecodeAttributes(info.attributes);
          if (!named || !attributes) continue;
          const Container container{info.id.account, info.id.container};
          const BlockId id{SpaceOf(container, named->partition), named->version};
          blocks.push_back({.version = named->version,
                            .location = codec->Encode(container, *named),
                            .parent_hash = attributes->parent_hash,
                            .by_parent = attributes->by_parent,
                            .size = info.size,
                            .written = absl::FromUnixMicros(attributes->created_us),
                            .in_ram = ram_.Contains(id),
                            .on_disk = shared_ == nullptr,
                            .shared = shared_ != nullptr});
          listed.push_back(&info);
        }
        if (shared_) {
          shared_->FindLocal(
              listed.size(), [&](size_t i) { return listed[i]->id; },
              [&](size_t i) { blocks[i].on_disk = true; });
        }
        std::move(done)(std::move(blocks));
        End();
      });
}

void ChunkStore::ListPartition(const Container& container, std::string_view partition, size_t limit,
                               absl::Time deadline, StoredBlocksDone done) {
  WithCodec(container,
            [this, prefix = PartitionPrefix(container, partition), limit, deadline,
             done = std::move(done)](absl::StatusOr<const LocationCodec*> codec) mutable {
              if (absl::IsNotFound(codec.status())) {  // nobody has written to it
                return std::move(done)(std::vector<StoredBlock>());
              }
              if (!codec.ok()) return std::move(done)(codec.status());
              ListBlocks(*codec, std::move(prefix), limit, deadline, std::move(done));
            });
}

void ChunkStore::ListVersions(const Container& container, std::string_view location,
                              absl::Time deadline, StoredBlocksDone done) {
  WithCodec(
      container, [this, container, location = std::string(location), deadline,
                  done = std::move(done)](absl::StatusOr<const LocationCodec*> codec) mutable {
        if (!codec.ok()) return std::move(done)(codec.status());
        const std::optional<NamedBlock> block = (*codec)->Decode(container, location);
        if (!block) return std::move(done)(NotFound());
        ListBlocks(*codec, VersionsPrefix(container, *block), kMaxVersions, deadline,
                   [version = block->version, done = std::move(done)](
                       absl::StatusOr<std::vector<StoredBlock>> blocks) mutable {
                     if (!blocks.ok()) return std::move(done)(blocks.status());
                     const auto its =
                         std::find_if(blocks->begin(), blocks->end(),
                                      [&](const StoredBlock& b) { return b.version == version; });
                     if (its == blocks->end()) return std::move(done)(NotFound());
                     std::rotate(blocks->begin(), its, its + 1);
                     std::move(done)(std::move(blocks));
                   });
      });
}

void ChunkStore::Remove(const Container& container, std::string_view location, Removal why,
                        RemoveDone done) {
  WithCodec(container,
            [this, container, location = std::string(location), why,
             done = std::move(done)](absl::StatusOr<const LocationCodec*> codec) mutable {
              if (absl::IsNotFound(codec.status())) return std::move(done)(0);
              if (!codec.ok()) return std::move(done)(codec.status());
              const std::optional<NamedBlock> block = (*codec)->Decode(container, location);
              if (!block) return std::move(done)(0);
              RemoveBlock(container, *block, why, std::move(done));
            });
}

std::optional<std::vector<PrefixIndex::Removed>> ChunkStore::TakeOut(const Container& container,
                                                                     const NamedBlock& block) {
  const BlockId id{SpaceOf(container, block.partition), block.version};
  absl::MutexLock lock(&mutex_);
  if (deleting_.contains(id)) return std::nullopt;
  std::vector<PrefixIndex::Removed> removed = index_.Remove(id);
  // The index of a shared storage need not know all that is stored.
  if (removed.empty() && shared_) {
    removed.push_back({.id = id, .container = container, .partition = block.partition});
  }
  MarkDeleting(removed);
  return removed;
}

void ChunkStore::RemoveBlock(const Container& container, const NamedBlock& block, Removal why,
                             RemoveDone done) {
  auto removed = TakeOut(container, block);
  if (!removed) {
    return std::move(done)(absl::UnavailableError("the block is being removed already"));
  }
  const size_t count = removed->size();
  DeleteAll(*std::move(removed), why, [count, done = std::move(done)](absl::Status status) mutable {
    if (status.ok()) return std::move(done)(count);
    std::move(done)(std::move(status));
  });
}

}  // namespace kvstore
