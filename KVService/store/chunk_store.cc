#include "KVService/store/chunk_store.h"

#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "KVCommon/status_macros.h"
#include "KVService/store/chunk_identity.h"
#include "KVService/store/location_key.h"
#include "absl/time/clock.h"

namespace kvstore {
namespace {

// Of a fetch that several callers may share, so none of theirs.
constexpr absl::Duration kFetchTimeout = absl::Seconds(30);

// Kept free in the storage, at most.
constexpr uint64_t kHeadroomBytes = uint64_t{64} << 20;

int64_t MicrosecondsSince(absl::Time start) {
  return absl::ToInt64Microseconds(absl::Now() - start);
}

absl::Status ClosedError() { return absl::UnavailableError("the server is shutting down"); }

}  // namespace

struct ChunkStore::WriteWaiter {
  Blob blob;
  absl::Time deadline;
  WriteDone done;
};

// One version that is being written, by the first of `waiters`; the others wait for its outcome.
struct ChunkStore::Writing {
  BlockId id;
  Container container;
  PartitionDigest partition{};
  uint64_t parent_hash = 0;
  bool by_parent = false;
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
  size_t next = 0;
};

struct ChunkStore::Fetching {
  BlobId blob_id;
  std::optional<PrefixIndex::Handle> handle;
  absl::Time start;
  std::vector<ReadDone> waiters;
};

absl::StatusOr<std::unique_ptr<ChunkStore>> ChunkStore::Open(ChunkStoreOptions options,
                                                             std::unique_ptr<BlobStore> storage) {
  KV_ASSIGN_OR_RETURN(const LocationCodec::Key key, LoadLocationKey(*storage));
  std::vector<BlobInfo> blobs;
  KV_RETURN_IF_ERROR(storage->List([&](BlobInfo info) { blobs.push_back(std::move(info)); }));
  std::unique_ptr<ChunkStore> store(new ChunkStore(options, std::move(storage), nullptr, key));
  store->LoadIndex(std::move(blobs));
  return store;
}

absl::StatusOr<std::unique_ptr<ChunkStore>> ChunkStore::OpenShared(
    ChunkStoreOptions options, std::unique_ptr<SharedBlobStore> storage) {
  SharedBlobStore* const shared = storage.get();
  std::unique_ptr<ChunkStore> store(
      new ChunkStore(options, std::move(storage), shared, LocationCodec::Key{}));
  KV_RETURN_IF_ERROR(shared->ListUnshared([&](const BlobInfo& info) { store->LearnFrom(info); }));
  return store;
}

ChunkStore::ChunkStore(ChunkStoreOptions options, std::unique_ptr<BlobStore> storage,
                       SharedBlobStore* shared, const LocationCodec::Key& key)
    : options_(options),
      storage_(std::move(storage)),
      shared_(shared),
      locations_(key),
      bloom_(shared ? options.bloom_blocks : 1, options.bloom_false_positive_rate),
      containers_(shared, this),
      ram_(options.memory_bytes, [this](const Slice& incoming) { return OtherMemory(incoming); }) {}

// The index, and blocks on their way in and out. A cached block that a reply still refers to counts
// once, as cached.
uint64_t ChunkStore::OtherMemory(const Slice& incoming) const {
  const uint64_t cached = ram_.held_bytes() + incoming.held_bytes();
  const uint64_t live = Buffer::LiveBytes();
  return index_.memory_bytes() + bloom_.memory_bytes() + Buffer::IdleBytes() +
         (live > cached ? live - cached : 0);
}

ChunkStore::~ChunkStore() { Close().IgnoreError(); }  // who wants to know calls Close

void ChunkStore::LoadIndex(std::vector<BlobInfo> blobs) {
  struct Loaded {
    NamedBlock block;
    BlockAttributes attributes;
    const BlobInfo* info;
  };
  std::vector<Loaded> loaded;
  loaded.reserve(blobs.size());
  for (const BlobInfo& info : blobs) {
    const std::optional<NamedBlock> block = ParseBlobName(info.id.name);
    const std::optional<BlockAttributes> attributes =
        info.lost ? BlockAttributes() : DecodeAttributes(info.attributes);
    if (block && attributes) loaded.push_back({*block, *attributes, &info});
  }
  // Oldest first: the order of recency then begins as the order of writing.
  std::sort(loaded.begin(), loaded.end(), [](const Loaded& a, const Loaded& b) {
    return a.attributes.created_us < b.attributes.created_us;
  });
  for (const Loaded& each : loaded) {
    const Container container{each.info->id.account, each.info->id.container};
    index_.Insert(container, each.block.partition,
                  {SpaceOf(container, each.block.partition), each.block.version},
                  {each.attributes.parent_hash, each.info->footprint, each.attributes.by_parent});
  }
  // What was lost takes along the blocks that are matched through it.
  std::vector<PrefixIndex::Removed> gone;
  for (const Loaded& each : loaded) {
    if (!each.info->lost) continue;
    const Container container{each.info->id.account, each.info->id.container};
    absl::MutexLock lock(&mutex_);
    std::vector<PrefixIndex::Removed> removed =
        index_.Remove({SpaceOf(container, each.block.partition), each.block.version});
    MarkDeleting(removed);
    std::move(removed.begin(), removed.end(), std::back_inserter(gone));
  }
  DeleteAll(std::move(gone));
  MakeRoom();
}

bool ChunkStore::Begin() {
  absl::MutexLock lock(&mutex_);
  if (closed_) return false;
  ++running_;
  return true;
}

void ChunkStore::End() {
  absl::MutexLock lock(&mutex_);
  --running_;
}

// ---- Read

void ChunkStore::Read(const Container& container, std::string_view location, absl::Time deadline,
                      ReadDone done) {
  if (!Begin()) return std::move(done)(ClosedError());
  done = [this, done = std::move(done)](absl::StatusOr<ReadResult> result) mutable {
    std::move(done)(std::move(result));
    End();
  };
  if (!shared_) return ReadAt(locations_, container, location, deadline, std::move(done));
  containers_.Open(container, SharedContainers::Use::kRead,
                   [this, container, location = std::string(location), deadline,
                    done = std::move(done)](absl::StatusOr<const LocationCodec*> codec) mutable {
                     if (!codec.ok()) return std::move(done)(codec.status());
                     ReadAt(**codec, container, location, deadline, std::move(done));
                   });
}

void ChunkStore::ReadAt(const LocationCodec& codec, const Container& container,
                        std::string_view location, absl::Time deadline, ReadDone done) {
  const std::optional<NamedBlock> block = codec.Decode(container, location);
  if (!block) return std::move(done)(absl::Status(absl::StatusCode::kNotFound, ""));
  const BlockId id{SpaceOf(container, block->partition), block->version};
  if (Slice chunk = ram_.Get(id); !chunk.empty()) {
    return std::move(done)(ReadResult{std::move(chunk), 0});
  }
  if (absl::Now() >= deadline) {
    return std::move(done)(
        absl::DeadlineExceededError("the deadline passed before the read began"));
  }
  Fetch(container, block->partition, id, std::move(done));
}

void ChunkStore::Fetch(const Container& container, const PartitionDigest& partition,
                       const BlockId& id, ReadDone done) {
  BlobId blob_id{container.account, container.name, BlobNameOf(partition, id.version)};
  {
    absl::MutexLock lock(&mutex_);
    std::shared_ptr<Fetching>& fetching = fetching_[id];
    if (fetching) {
      fetching->waiters.push_back(std::move(done));
      return;
    }
    fetching = std::make_shared<Fetching>();
    fetching->blob_id = blob_id;
    fetching->handle = index_.HandleOf(id);
    fetching->start = absl::Now();
    fetching->waiters.push_back(std::move(done));
  }
  storage_->Get(std::move(blob_id), absl::Now() + kFetchTimeout,
                [this, id](absl::StatusOr<Blob> blob) { FinishFetch(id, std::move(blob)); });
}

void ChunkStore::FinishFetch(const BlockId& id, absl::StatusOr<Blob> blob) {
  std::shared_ptr<Fetching> fetching;
  {
    absl::MutexLock lock(&mutex_);
    const auto it = fetching_.find(id);
    fetching = std::move(it->second);
    fetching_.erase(it);
  }
  const std::optional<PrefixIndex::Handle> handle = fetching->handle;
  absl::StatusOr<ReadResult> result = absl::Status(absl::StatusCode::kNotFound, "");
  if (blob.ok()) {
    // Only what the index still means: the block may have been evicted, and written anew,
    // meanwhile.
    if (handle && index_.HandleOf(id) == handle) {
      ram_.Put(id, blob->data, index_.ParentOf(id));
      if (index_.HandleOf(id) != handle) ram_.Erase(id);
    }
    result = ReadResult{std::move(blob->data), MicrosecondsSince(fetching->start)};
  } else if (absl::IsDataLoss(blob.status()) || absl::IsNotFound(blob.status())) {
    // A miss, and none that a next Lookup should find again.
    if (absl::IsDataLoss(blob.status())) {
      corrupt_chunks_.fetch_add(1, std::memory_order_relaxed);
      spdlog::error("corrupt chunk removed blob={}/{}/{} error=\"{}\"", fetching->blob_id.account,
                    fetching->blob_id.container, fetching->blob_id.name,
                    std::string(blob.status().message()));
    }
    std::vector<PrefixIndex::Removed> removed;
    if (handle) {
      absl::MutexLock lock(&mutex_);
      removed = index_.Remove(id, handle);
      if (shared_ && absl::IsNotFound(blob.status()) && !removed.empty()) {
        // It is gone already, and deleting it could hit what another server puts in its place.
        OrphanWrites(removed.back());
        removed.pop_back();
      }
      MarkDeleting(removed);
    }
    if (shared_ && absl::IsNotFound(blob.status())) shared_->TellGone(fetching->blob_id);
    DeleteAll(std::move(removed));
  } else {
    result = blob.status();
  }
  for (ReadDone& waiter : fetching->waiters) std::move(waiter)(result);
}

// ---- Write

void ChunkStore::Write(const Container& container, const wire::Chunk& chunk, Slice encoded,
                       absl::Time deadline, WriteDone done) {
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
  waiter.deadline = deadline;
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
  writing->start = absl::Now();
  if (!shared_) return StartWrite(std::move(writing), std::move(waiter));
  containers_.Open(container, SharedContainers::Use::kWrite,
                   [this, writing = std::move(writing), waiter = std::move(waiter)](
                       absl::StatusOr<const LocationCodec*> codec) mutable {
                     if (!codec.ok()) return std::move(waiter.done)(codec.status());
                     StartWrite(std::move(writing), std::move(waiter));
                   });
}

void ChunkStore::StartWrite(std::shared_ptr<Writing> writing, WriteWaiter waiter) {
  {
    absl::MutexLock lock(&mutex_);
    std::shared_ptr<Writing>& slot = writing_[writing->id];
    if (slot) {
      slot->waiters.push_back(std::move(waiter));
      return;
    }
    slot = writing;
    writes_by_parent_ += writing->by_parent;
    writing->waiters.push_back(std::move(waiter));
  }
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
      evicted_chunks_.fetch_add(evicted.size(), std::memory_order_relaxed);
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
  DeleteAll(std::move(evicted));
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
  const absl::Time deadline = first->deadline;
  BlobId blob_id = writing->blob_id();
  storage_->Put(std::move(blob_id), std::move(blob), deadline,
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
  bool again = false;
  {
    absl::MutexLock lock(&mutex_);
    reserved_bytes_ -= writing->footprint;
    finished.push_back(std::move(writing->waiters.front()));
    writing->waiters.pop_front();
    if (there) {
      Learn(writing->container, writing->partition, writing->id,
            {writing->parent_hash, writing->footprint, writing->by_parent});
      if (writing->orphaned) orphan = index_.Remove(writing->id);
      MarkDeleting(orphan);
    }
    again = !there && !writing->waiters.empty();
    if (!again) {
      std::move(writing->waiters.begin(), writing->waiters.end(), std::back_inserter(finished));
      writing->waiters.clear();
      writing_.erase(writing->id);
      writes_by_parent_ -= writing->by_parent;
    }
  }
  // Where it was there already, what is stored is another writer's.
  if (stored && orphan.empty()) {
    ram_.Put(writing->id, finished.front().blob.data, index_.ParentOf(writing->id));
  }
  DeleteAll(std::move(orphan));
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
    deleting_.emplace(block.id, Doomed{block.footprint, nullptr});
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

void ChunkStore::DeleteAll(std::vector<PrefixIndex::Removed> removed) {
  if (removed.empty()) return;
  for (const PrefixIndex::Removed& block : removed) ram_.Erase(block.id);
  {
    absl::MutexLock lock(&mutex_);
    ++running_;
  }
  auto deleting = std::make_shared<Deleting>();
  deleting->blocks = std::move(removed);
  DeleteNext(std::move(deleting));
}

// One after the other: a crash in between must not leave a block by parent without its parent.
void ChunkStore::DeleteNext(std::shared_ptr<Deleting> deleting) {
  if (deleting->next == deleting->blocks.size()) {
    MakeRoom();
    return End();
  }
  const PrefixIndex::Removed& block = deleting->blocks[deleting->next];
  BlobId id{block.container.account, block.container.name,
            BlobNameOf(block.partition, block.id.version)};
  storage_->Delete(
      std::move(id), [this, deleting = std::move(deleting)](absl::Status status) mutable {
        // NOT_FOUND is what was wanted.
        if (status.ok() || absl::IsNotFound(status)) {
          EndDeleting(deleting->blocks[deleting->next++].id);
          return DeleteNext(std::move(deleting));
        }
        // The block's parent, which comes behind it, must not go without it. The index
        // has let them all go; the next start finds them again.
        spdlog::error("evicted chunks not deleted chunks={} error=\"{}\"",
                      deleting->blocks.size() - deleting->next, std::string(status.message()));
        while (deleting->next < deleting->blocks.size()) {
          EndDeleting(deleting->blocks[deleting->next++].id);
        }
        RefuseWaiting(status);
        DeleteNext(std::move(deleting));
      });
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

void ChunkStore::EndDeleting(const BlockId& id) {
  Doomed doomed;
  {
    absl::MutexLock lock(&mutex_);
    const auto it = deleting_.find(id);
    doomed = std::move(it->second);
    deleting_.erase(it);
    releasing_bytes_ -= doomed.footprint;
  }
  if (doomed.next_writing) StartPut(std::move(doomed.next_writing));
}

// ---- the rest

ChunkStoreStats ChunkStore::stats() const {
  ChunkStoreStats stats;
  stats.blocks = index_.size();
  stats.corrupt_chunks = corrupt_chunks_.load(std::memory_order_relaxed);
  stats.evicted_chunks = evicted_chunks_.load(std::memory_order_relaxed);
  stats.pending_write_bytes = pending_write_bytes_.load(std::memory_order_relaxed);
  stats.ram = ram_.usage();
  stats.storage = storage_->Usage();
  if (shared_) stats.bloom = bloom_.stats();
  stats.forgotten_blocks = forgotten_.load(std::memory_order_relaxed);
  stats.probes = probes_.load(std::memory_order_relaxed);
  stats.probes_found = probes_found_.load(std::memory_order_relaxed);
  stats.shared = shared_ != nullptr;
  stats.bloom_denied = bloom_denied_.load(std::memory_order_relaxed);
  stats.bloom_probes = bloom_probes_.load(std::memory_order_relaxed);
  stats.bloom_probes_found = bloom_probes_found_.load(std::memory_order_relaxed);
  return stats;
}

absl::Status ChunkStore::Close() {
  {
    absl::MutexLock lock(&mutex_);
    closed_ = true;
    const auto idle = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return running_ == 0; };
    mutex_.Await(absl::Condition(&idle));
  }
  return storage_->Close();
}

}  // namespace kvstore
