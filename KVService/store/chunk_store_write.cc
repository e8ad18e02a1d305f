// Write, eviction and deletion: what changes the storage.
#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "KVCommon/status_macros.h"
#include "KVService/store/chunk_identity.h"
#include "KVService/store/chunk_store.h"
#include "absl/time/clock.h"

namespace kvstore {
namespace {

// Kept free in the storage, at most.
constexpr uint64_t kHeadroomBytes = uint64_t{64} << 20;

}  // namespace

struct ChunkStore::WriteWaiter {
  Blob blob;
  Patience patience = absl::InfiniteFuture();
  WriteDone done;
};

// One version that is being written, by the first of `waiters`; the others wait for its outcome.
struct ChunkStore::Writing {
  BlockId id;
  Container container;
  PartitionDigest partition{};
  uint64_t parent_hash = 0;
  bool by_parent = false;
  uint64_t quota = 0;  // of the partition
  uint64_t size = 0;   // of the first waiter's chunk
  uint64_t footprint = 0;
  absl::Time start;
  // Guarded by the store's mutex, but for the first waiter.
  std::deque<WriteWaiter> waiters;
  // A block by parent whose parent was removed meanwhile: it goes too, as if it had been there.
  bool orphaned = false;
  bool tried_again = false;

  BlobId blob_id() const {
    return {container.account, container.name, BlobNameOf(partition, id.version)};
  }
};

struct ChunkStore::Deleting {
  std::vector<PrefixIndex::Removed> blocks;
  Removal why = Removal::kUnsound;
  size_t next = 0;
  absl::AnyInvocable<void(absl::Status) &&> done;  // may be null
};

// ---- Write

void ChunkStore::Write(const Container& container, const wire::Chunk& chunk, Slice encoded,
                       absl::Time deadline, WriteDone done, uint64_t partition_quota,
                       std::shared_ptr<const Origin> origin) {
  if (absl::Status valid = ValidateChunk(chunk); !valid.ok())
    return std::move(done)(std::move(valid));
  const PartitionDigest partition = DigestPartition(chunk.partition_key);
  const BlockId id{SpaceOf(container, partition), VersionOf(chunk)};
  if (index_.Contains(id)) {
    // Its writer goes on behind it, even where Lookup does not reach it for being ambiguous.
    index_.Renew(id);
    return std::move(done)(WriteResult{});
  }
  const uint64_t size = encoded.size();
  const uint64_t pending = pending_write_bytes_.fetch_add(size) + size;
  if (pending > options_.max_pending_write_bytes || !Begin()) {
    pending_write_bytes_.fetch_sub(size);
    if (pending <= options_.max_pending_write_bytes) return std::move(done)(ClosedError());
    return std::move(done)(absl::ResourceExhaustedError(fmt::format(
        "{} bytes of writes are under way already; try again shortly", pending - size)));
  }
  done = [this, size, done = std::move(done)](absl::StatusOr<WriteResult> result) mutable {
    pending_write_bytes_.fetch_sub(size);
    std::move(done)(std::move(result));
    End();
  };

  const bool by_parent = IsByParent(chunk);
  WriteWaiter waiter;
  waiter.patience = Patience(deadline, nullptr, std::move(origin));
  waiter.done = std::move(done);
  waiter.blob.crc32c = Crc32c(encoded.bytes());
  waiter.blob.attributes =
      EncodeAttributes({chunk.parent_hash, absl::ToUnixMicros(absl::Now()), by_parent});
  waiter.blob.data = std::move(encoded);

  auto writing = std::make_shared<Writing>();
  writing->id = id;
  writing->container = container;
  writing->partition = partition;
  writing->parent_hash = chunk.parent_hash;
  writing->by_parent = by_parent;
  writing->quota = partition_quota;
  writing->start = absl::Now();
  if (!shared_) return StartWrite(std::move(writing), std::move(waiter));
  containers_.Open(container, SharedContainers::Use::kWrite,
                   [this, writing = std::move(writing), waiter = std::move(waiter)](
                       absl::StatusOr<const LocationCodec*> codec) mutable {
                     if (!codec.ok()) return std::move(waiter.done)(codec.status());
                     StartWrite(std::move(writing), std::move(waiter));
                   });
}

absl::Status ChunkStore::CheckQuotas(const Writing& writing, uint64_t size) const {
  const uint64_t account_quota =
      options_.account_quota ? options_.account_quota(writing.container) : 0;
  if (writing.quota == 0 && account_quota == 0) return absl::OkStatus();
  uint64_t of_partition = index_.FootprintOf(writing.id.space) + size;
  uint64_t of_account = account_quota == 0 ? 0 : size;
  if (account_quota != 0) of_account += index_.FootprintOfAccount(writing.container.account);
  for (const auto& [id, other] : writing_) {
    if (id.space == writing.id.space) of_partition += other->size;
    if (other->container.account == writing.container.account) of_account += other->size;
  }
  const auto error = [size](const char* of, uint64_t held, uint64_t quota) {
    return absl::ResourceExhaustedError(fmt::format(
        "the {} holds {} of the {} bytes of its quota, and this block has {}: raise the "
        "quota, or store elsewhere",
        of, held - size, quota, size));
  };
  if (writing.quota != 0 && of_partition > writing.quota) {
    return error("partition", of_partition, writing.quota);
  }
  if (account_quota != 0 && of_account > account_quota) {
    return error("account", of_account, account_quota);
  }
  return absl::OkStatus();
}

void ChunkStore::StartWrite(std::shared_ptr<Writing> writing, WriteWaiter waiter) {
  bool there = false;
  absl::Status within_quota;
  writing->size = waiter.blob.data.size();
  {
    absl::MutexLock lock(&mutex_);
    // Another one's write may have ended since Write looked: one that is there, and can be evicted,
    // must not be written as well.
    there = index_.Contains(writing->id);
    if (!there) {
      if (const auto it = writing_.find(writing->id); it != writing_.end()) {
        it->second->waiters.push_back(std::move(waiter));
        return;
      }
      within_quota = CheckQuotas(*writing, writing->size);
    }
    if (!there && within_quota.ok()) {
      writing_.emplace(writing->id, writing);
      writes_by_parent_ += writing->by_parent;
      writing->waiters.push_back(std::move(waiter));
    }
  }
  if (!within_quota.ok()) return std::move(waiter.done)(within_quota);
  if (there) return std::move(waiter.done)(WriteResult{});
  StartPut(std::move(writing));
}

void ChunkStore::StartPut(std::shared_ptr<Writing> writing) {
  {
    absl::MutexLock lock(&mutex_);
    if (const auto it = deleting_.find(writing->id); it != deleting_.end()) {
      it->second.next_writing = std::move(writing);
      return;
    }
    writing->footprint = storage_->FootprintOf(writing->blob_id(), writing->waiters.front().blob);
    largest_footprint_ = std::max(largest_footprint_, writing->footprint);
    waiting_bytes_ += writing->footprint;
    waiting_for_room_.push_back(std::move(writing));
  }
  MakeRoom();
}

void ChunkStore::MakeRoom() {
  std::vector<std::shared_ptr<Writing>> fit, hopeless;
  std::vector<PrefixIndex::Removed> evicted;
  {
    absl::MutexLock lock(&mutex_);
    const BlobStoreUsage usage = storage_->Usage();
    const uint64_t capacity = usage.capacity_bytes == 0 ? UINT64_MAX : usage.capacity_bytes;
    while (!waiting_for_room_.empty()) {
      const uint64_t footprint = waiting_for_room_.front()->footprint;
      if (usage.used_bytes + reserved_bytes_ + footprint > capacity) break;
      reserved_bytes_ += footprint;
      waiting_bytes_ -= footprint;
      fit.push_back(std::move(waiting_for_room_.front()));
      waiting_for_room_.pop_front();
    }
    // Ahead of need, so that writes find room and need not wait for deletions; not where that would
    // be a noticeable part of a small storage.
    const uint64_t headroom = std::min(capacity / 128, kHeadroomBytes);
    const bool spare = headroom >= 4 * (largest_footprint_ + 1);
    const uint64_t wanted =
        usage.used_bytes + reserved_bytes_ + waiting_bytes_ + (spare ? headroom : 0);
    if (wanted > capacity && wanted - capacity > releasing_bytes_) {
      evicted = index_.RemoveLeastWorth(wanted - capacity - releasing_bytes_);
      MarkDeleting(evicted);
    }
    // Nothing to evict and nothing on its way that could make room later.
    if (evicted.empty() && releasing_bytes_ == 0 && reserved_bytes_ == 0) {
      for (; !waiting_for_room_.empty(); waiting_for_room_.pop_front()) {
        waiting_bytes_ -= waiting_for_room_.front()->footprint;
        waiting_for_room_.front()->footprint = 0;
        hopeless.push_back(std::move(waiting_for_room_.front()));
      }
    }
  }
  DeleteAll(std::move(evicted), Removal::kCapacity);
  for (std::shared_ptr<Writing>& writing : fit) Put(std::move(writing));
  for (std::shared_ptr<Writing>& writing : hopeless) {
    FinishPut(std::move(writing), absl::ResourceExhaustedError(
                                      "the storage is full and nothing is left to evict; raise "
                                      "--capacity or store smaller blocks"));
  }
}

void ChunkStore::Put(std::shared_ptr<Writing> writing) {
  // Only the first waiter's own put, which this is, takes the first waiter away; a deque does not
  // move it when others are added.
  const WriteWaiter* first;
  {
    absl::MutexLock lock(&mutex_);
    first = &writing->waiters.front();
  }
  Blob blob = first->blob;
  Patience patience = first->patience;
  BlobId blob_id = writing->blob_id();
  storage_->Put(std::move(blob_id), std::move(blob), std::move(patience),
                [this, writing = std::move(writing)](absl::Status status) mutable {
                  FinishPut(std::move(writing), std::move(status));
                });
}

void ChunkStore::FinishPut(std::shared_ptr<Writing> writing, absl::Status status) {
  // A disk that filled up before the capacity did says so by now: once more, with room made.
  if (absl::IsResourceExhausted(status) && !writing->tried_again) {
    writing->tried_again = true;
    {
      absl::MutexLock lock(&mutex_);
      reserved_bytes_ -= writing->footprint;
    }
    return StartPut(std::move(writing));
  }
  const bool stored = status.ok();
  const bool there = stored || absl::IsAlreadyExists(status);
  std::deque<WriteWaiter> finished;
  std::vector<PrefixIndex::Removed> orphan;
  std::optional<PrefixIndex::Handle> handle;
  bool again = false;
  {
    absl::MutexLock lock(&mutex_);
    reserved_bytes_ -= writing->footprint;
    // In a shared store others may have brought it, and it was found corrupt and is on its way out.
    const bool going = there && deleting_.contains(writing->id);
    if (!going) {
      finished.push_back(std::move(writing->waiters.front()));
      writing->waiters.pop_front();
    }
    if (there && !going) {
      Learn(writing->container, writing->partition, writing->id,
            {writing->parent_hash, writing->footprint, writing->by_parent});
      handle = index_.HandleOf(writing->id);
      if (writing->orphaned) orphan = index_.Remove(writing->id);
      MarkDeleting(orphan);
    }
    again = going || (!there && !writing->waiters.empty());
    if (!again) {
      std::move(writing->waiters.begin(), writing->waiters.end(), std::back_inserter(finished));
      writing->waiters.clear();
      writing_.erase(writing->id);
      writes_by_parent_ -= writing->by_parent;
    }
  }
  // Where it was there already, what is stored is another writer's.
  if (stored && handle && orphan.empty()) {
    ram_.Put(writing->id, finished.front().blob.data, index_.ParentOf(writing->id));
    if (index_.HandleOf(writing->id) != handle) ram_.Erase(writing->id);  // evicted by now
  }
  DeleteAll(std::move(orphan), Removal::kUnsound);
  MakeRoom();  // what was reserved may fit others, or have to
  const int64_t storage_us = MicrosecondsSince(writing->start);
  bool first = true;
  for (WriteWaiter& waiter : finished) {
    if (there) {
      std::move(waiter.done)(WriteResult{stored && first, storage_us});
    } else {
      std::move(waiter.done)(status);
    }
    first = false;
  }
  if (again) StartPut(std::move(writing));
}

// ---- deletion

void ChunkStore::MarkDeleting(const std::vector<PrefixIndex::Removed>& removed) {
  for (const PrefixIndex::Removed& block : removed) {
    const bool added = deleting_.emplace(block.id, Doomed{block.footprint, nullptr}).second;
    KV_CHECK(added);
    releasing_bytes_ += block.footprint;
    OrphanWrites(block);
  }
}

void ChunkStore::OrphanWrites(const PrefixIndex::Removed& parent) {
  if (writes_by_parent_ == 0) return;
  for (auto& [id, writing] : writing_) {
    writing->orphaned |= writing->by_parent && id.space == parent.id.space &&
                         writing->parent_hash == parent.id.version.hash;
  }
}

void ChunkStore::DeleteAll(std::vector<PrefixIndex::Removed> removed, Removal why,
                           absl::AnyInvocable<void(absl::Status) &&> done) {
  if (removed.empty()) {
    if (done) std::move(done)(absl::OkStatus());
    return;
  }
  for (const PrefixIndex::Removed& block : removed) ram_.Erase(block.id);
  {
    absl::MutexLock lock(&mutex_);
    ++running_;
  }
  auto deleting = std::make_shared<Deleting>();
  deleting->blocks = std::move(removed);
  deleting->why = why;
  deleting->done = std::move(done);
  DeleteNext(std::move(deleting));
}

// One after the other: a crash in between must not leave a block by parent without its parent.
void ChunkStore::DeleteNext(std::shared_ptr<Deleting> deleting) {
  if (deleting->next == deleting->blocks.size()) {
    MakeRoom();
    if (deleting->done) std::move(deleting->done)(absl::OkStatus());
    return End();
  }
  const PrefixIndex::Removed& block = deleting->blocks[deleting->next];
  BlobId id{block.container.account, block.container.name,
            BlobNameOf(block.partition, block.id.version)};
  storage_->Delete(
      std::move(id), [this, deleting = std::move(deleting)](absl::Status status) mutable {
        // NOT_FOUND is what was wanted.
        if (status.ok() || absl::IsNotFound(status)) {
          const auto why = static_cast<size_t>(deleting->why);
          removed_chunks_[why].fetch_add(1, std::memory_order_relaxed);
          EndDeleting(deleting->blocks[deleting->next++].id);
          return DeleteNext(std::move(deleting));
        }
        // The block's parent, which comes behind it, must not go without it.
        spdlog::error("chunks not deleted chunks={} error=\"{}\"",
                      deleting->blocks.size() - deleting->next, std::string(status.message()));
        GiveUpDeleting(*deleting);
        RefuseWaiting(status);
        if (deleting->done) std::move(deleting->done)(status);
        End();  // and no MakeRoom, which would try the same again, for as long as the disk is away
      });
}

// What nothing is wrong with is still stored: known again it is served, and evicted when the disk
// is back. Not so blocks by parent, which may have lost it meanwhile: the next start finds those.
void ChunkStore::GiveUpDeleting(const Deleting& deleting) {
  for (size_t i = deleting.blocks.size(); i-- > deleting.next;) {  // parents first
    const PrefixIndex::Removed& block = deleting.blocks[i];
    const bool sound = deleting.why != Removal::kUnsound && !block.by_parent;
    EndDeleting(block.id, sound && block.footprint > 0 ? &block : nullptr);
  }
}

void ChunkStore::RefuseWaiting(const absl::Status& status) {
  std::deque<std::shared_ptr<Writing>> refused;
  {
    absl::MutexLock lock(&mutex_);
    refused.swap(waiting_for_room_);
    waiting_bytes_ = 0;
    for (const std::shared_ptr<Writing>& writing : refused) {
      writing->footprint = 0;
      writing->tried_again = true;
    }
  }
  for (std::shared_ptr<Writing>& writing : refused) FinishPut(std::move(writing), status);
}

void ChunkStore::EndDeleting(const BlockId& id, const PrefixIndex::Removed* back) {
  Doomed doomed;
  {
    absl::MutexLock lock(&mutex_);
    const auto it = deleting_.find(id);
    doomed = std::move(it->second);
    deleting_.erase(it);
    releasing_bytes_ -= doomed.footprint;
    if (back != nullptr) {
      index_.Insert(back->container, back->partition, id,
                    {back->parent_hash, back->footprint, back->by_parent});
    }
  }
  if (doomed.next_writing) StartPut(std::move(doomed.next_writing));
}

}  // namespace kvstore
