// What a ChunkStore removes though there is room for it.
#include <algorithm>
#include <future>
#include <optional>
#include <utility>

#include "KVService/store/chunk_identity.h"
#include "KVService/store/chunk_store.h"
#include "absl/synchronization/blocking_counter.h"

namespace kvstore {
namespace {

// Names that are in memory at a time, some 250 bytes each; what is beyond goes with the next sweep.
constexpr size_t kMostExpired = 100'000;
// Removed at once: of a shared storage each costs some round trips.
constexpr size_t kAtOnce = 64;

}  // namespace

absl::Status ChunkStore::DeleteAndWait(std::vector<PrefixIndex::Removed> removed, Removal why) {
  // Those of one chain stay together, in their order: a block by parent must not outlive it.
  std::vector<std::vector<PrefixIndex::Removed>> chains;
  bool goes_on = false;
  for (PrefixIndex::Removed& block : removed) {
    if (!goes_on) chains.emplace_back();
    goes_on = block.by_parent;
    chains.back().push_back(std::move(block));
  }
  absl::Mutex mutex;
  absl::Status status;
  absl::BlockingCounter left(static_cast<int>(chains.size()));
  for (std::vector<PrefixIndex::Removed>& chain : chains) {
    DeleteAll(std::move(chain), why, [&](absl::Status deleted) {
      {
        absl::MutexLock lock(&mutex);
        status.Update(deleted);
      }
      left.DecrementCount();
    });
  }
  left.Wait();
  return status;
}

absl::StatusOr<ChunkStore::Swept> ChunkStore::RemoveExpired(
    const Expired& expired, const May& may, bool dry_run,
    const std::shared_ptr<Cancellation>& end) {
  struct Found {
    Container container;
    NamedBlock block;
    uint64_t footprint;
  };
  std::vector<Found> found;
  if (!Begin()) return ClosedError();
  absl::Status status = storage_->ListUntil(end, [&](const BlobInfo& info) {
    if (found.size() == kMostExpired || info.lost) return;
    const std::optional<NamedBlock> block = ParseBlobName(info.id.name);
    const std::optional<BlockAttributes> attributes = DecodeAttributes(info.attributes);
    if (!block || !attributes) return;
    const Container container{info.id.account, info.id.container};
    if (!expired(container, block->partition, absl::FromUnixMicros(attributes->created_us))) return;
    found.push_back({container, *block, info.footprint});
  });
  Swept swept;
  for (size_t begin = 0; status.ok() && begin < found.size(); begin += kAtOnce) {
    const size_t end = std::min(begin + kAtOnce, found.size());
    std::vector<PrefixIndex::Removed> removed;
    for (size_t i = begin; i < end; ++i) {
      if (!may(found[i].container)) continue;
      if (!dry_run) {
        auto taken = TakeOut(found[i].container, found[i].block);
        if (!taken || taken->empty()) continue;  // gone, or going
        std::move(taken->begin(), taken->end(), std::back_inserter(removed));
      }
      ++swept.blocks;
      swept.bytes += found[i].footprint;
    }
    status.Update(DeleteAndWait(std::move(removed), Removal::kExpired));
  }
  End();
  if (!status.ok()) return status;
  return swept;
}

absl::StatusOr<ChunkStore::Swept> ChunkStore::FitContainer(const Container& container,
                                                           uint64_t bytes, const May& may,
                                                           bool dry_run) {
  if (shared_) {  // it may be that nobody has asked this server for it
    std::promise<absl::Status> opened;
    WithCodec(container, [&](auto codec) { opened.set_value(codec.status()); });
    const absl::Status status = opened.get_future().get();
    if (absl::IsNotFound(status)) return Swept();
    if (!status.ok()) return status;
    if (!shared_->UpToDate(container.account, container.name)) {
      return absl::UnavailableError("what is in the container is not known yet");
    }
  }
  if (!Begin()) return ClosedError();
  Swept swept;
  absl::Status status;
  while (status.ok()) {
    const uint64_t used = index_.FootprintOfContainer(container);
    if (used <= bytes || !may(container)) break;
    if (dry_run) {
      swept.bytes = used - bytes;
      break;
    }
    std::vector<PrefixIndex::Removed> removed;
    {
      absl::MutexLock lock(&mutex_);
      removed = index_.RemoveLeastWorth(container, used - bytes, kAtOnce);
      MarkDeleting(removed);
    }
    if (removed.empty()) break;
    swept.blocks += removed.size();
    for (const PrefixIndex::Removed& block : removed) swept.bytes += block.footprint;
    status = DeleteAndWait(std::move(removed), Removal::kCapacity);
  }
  End();
  if (!status.ok()) return status;
  return swept;
}

}  // namespace kvstore
