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

}  // namespace

struct ChunkStore::Fetching {
  BlockId id;
  BlobId blob_id;
  uint64_t size = 0;  // as far as it is known
  std::optional<PrefixIndex::Handle> handle;
  absl::Time start;
  bool begun = false;
  std::shared_ptr<Cancellation> cancellation = std::make_shared<Cancellation>();
  std::vector<ReadWaiter> waiters;
  std::shared_ptr<const Origin> origin;  // the first waiter's
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
    : options_(std::move(options)),
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
  DeleteAll(std::move(gone), Removal::kUnsound);
  MakeRoom();
}

absl::Status ChunkStore::ClosedError() {
  return absl::UnavailableError("the server is shutting down");
}

int64_t ChunkStore::MicrosecondsSince(absl::Time start) {
  return absl::ToInt64Microseconds(absl::Now() - start);
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

uint64_t ChunkStore::Read(const Container& container, std::string_view location,
                          absl::Time deadline, ReadDone done,
                          std::shared_ptr<const Origin> origin) {
  const uint64_t number = last_read_.fetch_add(1, std::memory_order_relaxed) + 1;
  if (!Begin()) {
    std::move(done)(ClosedError());
    return number;
  }
  done = [this, done = std::move(done)](absl::StatusOr<ReadResult> result) mutable {
    std::move(done)(std::move(result));
    End();
  };
  ReadWaiter waiter{number, std::move(done), std::move(origin)};
  if (!shared_) {
    ReadAt(locations_, container, location, deadline, std::move(waiter));
    return number;
  }
  containers_.Open(
      container, SharedContainers::Use::kRead,
      [this, container, location = std::string(location), deadline,
       waiter = std::move(waiter)](absl::StatusOr<const LocationCodec*> codec) mutable {
        if (!codec.ok()) return std::move(waiter.done)(codec.status());
        ReadAt(**codec, container, location, deadline, std::move(waiter));
      });
  return number;
}

void ChunkStore::ReadAt(const LocationCodec& codec, const Container& container,
                        std::string_view location, absl::Time deadline, ReadWaiter waiter) {
  const std::optional<NamedBlock> block = codec.Decode(container, location);
  if (!block) return std::move(waiter.done)(absl::Status(absl::StatusCode::kNotFound, ""));
  const BlockId id{SpaceOf(container, block->partition), block->version};
  if (Slice chunk = ram_.Get(id); !chunk.empty()) {
    return std::move(waiter.done)(ReadResult{std::move(chunk), 0});
  }
  if (absl::Now() >= deadline) {
    return std::move(waiter.done)(
        absl::DeadlineExceededError("the deadline passed before the read began"));
  }
  Fetch(container, block->partition, id, std::move(waiter));
}

void ChunkStore::Fetch(const Container& container, const PartitionDigest& partition,
                       const BlockId& id, ReadWaiter waiter) {
  {
    absl::MutexLock lock(&mutex_);
    if (waiter.number != 0) read_waits_for_.emplace(waiter.number, id);
    std::shared_ptr<Fetching>& fetching = fetching_[id];
    if (fetching) {
      fetching->waiters.push_back(std::move(waiter));
      return;
    }
    fetching = std::make_shared<Fetching>();
    fetching->id = id;
    fetching->blob_id = {container.account, container.name, BlobNameOf(partition, id.version)};
    fetching->size = index_.FootprintOf(id);
    fetching->handle = index_.HandleOf(id);
    fetching->start = absl::Now();
    fetching->origin = waiter.origin;
    fetching->waiters.push_back(std::move(waiter));
    waiting_fetches_.push_back(fetching);
  }
  StartFetches();
}

void ChunkStore::Abandon(uint64_t read) {
  std::shared_ptr<Fetching> fetching;
  ReadWaiter waiter;
  bool last = false;
  {
    absl::MutexLock lock(&mutex_);
    const auto waits = read_waits_for_.find(read);
    if (waits == read_waits_for_.end()) return;
    fetching = fetching_.at(waits->second);
    read_waits_for_.erase(waits);
    const auto its = std::find_if(fetching->waiters.begin(), fetching->waiters.end(),
                                  [read](const ReadWaiter& w) { return w.number == read; });
    waiter = std::move(*its);
    fetching->waiters.erase(its);
    last = fetching->waiters.empty();
    if (last && !fetching->begun) {
      std::erase(waiting_fetches_, fetching);
      fetching_.erase(fetching->id);
    }
  }
  if (last) fetching->cancellation->Cancel();
  std::move(waiter.done)(absl::CancelledError("nobody waits for it any more"));
}

void ChunkStore::StartFetches() {
  std::vector<std::shared_ptr<Fetching>> fit;
  {
    absl::MutexLock lock(&mutex_);
    while (!waiting_fetches_.empty()) {
      const uint64_t size = waiting_fetches_.front()->size;
      if (fetch_bytes_ > 0 && fetch_bytes_ + size > options_.max_fetch_bytes) break;
      fetch_bytes_ += size;
      waiting_fetches_.front()->begun = true;
      fit.push_back(std::move(waiting_fetches_.front()));
      waiting_fetches_.pop_front();
    }
  }
  for (const std::shared_ptr<Fetching>& fetching : fit) {
    storage_->Get(
        fetching->blob_id,
        Patience(absl::Now() + kFetchTimeout, fetching->cancellation, fetching->origin),
        [this, id = fetching->id](absl::StatusOr<Blob> blob) { FinishFetch(id, std::move(blob)); });
  }
}

void ChunkStore::FinishFetch(const BlockId& id, absl::StatusOr<Blob> blob) {
  std::shared_ptr<Fetching> fetching;
  {
    absl::MutexLock lock(&mutex_);
    const auto it = fetching_.find(id);
    fetch_bytes_ -= it->second->size;
    // Who came after the last one had gone waits for a fetch of their own, unless this one got to
    // an answer all the same. What it failed with, if it did, may be any code.
    const bool answered =
        blob.ok() || absl::IsNotFound(blob.status()) || absl::IsDataLoss(blob.status());
    if (!answered && it->second->cancellation->cancelled() && !it->second->waiters.empty()) {
      it->second->cancellation = std::make_shared<Cancellation>();
      waiting_fetches_.push_back(it->second);
    } else {
      fetching = std::move(it->second);
      fetching_.erase(it);
      for (const ReadWaiter& waiter : fetching->waiters) read_waits_for_.erase(waiter.number);
    }
  }
  StartFetches();
  if (fetching == nullptr) return;
  const std::optional<PrefixIndex::Handle> handle = fetching->handle;
  absl::StatusOr<ReadResult> result = absl::Status(absl::StatusCode::kNotFound, "");
  if (blob.ok()) {
    // Only what the index still means: the block may have been evicted, and written anew,
    // meanwhile.
    if (handle && index_.HandleOf(id) == handle) {
      ram_.Put(id, blob->data, index_.ParentOf(id));
      if (index_.HandleOf(id) != handle) ram_.Erase(id);
    }
    result = ReadResult{std::move(blob->data), MicrosecondsSince(fetching->start), blob->remote};
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
    DeleteAll(std::move(removed), Removal::kUnsound);
  } else {
    result = blob.status();
  }
  for (ReadWaiter& waiter : fetching->waiters) std::move(waiter.done)(result);
}

void ChunkStore::RemoveDamaged(const BlobId& blob) {
  const std::optional<NamedBlock> block = ParseBlobName(blob.name);
  if (!block || !Begin()) return;
  const Container container{blob.account, blob.container};
  std::vector<PrefixIndex::Removed> removed;
  {
    absl::MutexLock lock(&mutex_);
    removed = index_.Remove({SpaceOf(container, block->partition), block->version});
    MarkDeleting(removed);
  }
  if (!removed.empty()) {
    corrupt_chunks_.fetch_add(1, std::memory_order_relaxed);
    spdlog::error("corrupt chunk removed blob={}/{}/{} with_those_behind_it={}", blob.account,
                  blob.container, blob.name, removed.size() - 1);
  }
  DeleteAll(std::move(removed), Removal::kUnsound);
  End();
}

// ---- the rest

ChunkStoreStats ChunkStore::stats() const {
  ChunkStoreStats stats;
  stats.blocks = index_.size();
  stats.corrupt_chunks = corrupt_chunks_.load(std::memory_order_relaxed);
  const auto removed = [this](Removal why) {
    return removed_chunks_[static_cast<size_t>(why)].load(std::memory_order_relaxed);
  };
  stats.evicted_chunks = removed(Removal::kCapacity);
  stats.expired_chunks = removed(Removal::kExpired);
  stats.removed_chunks = removed(Removal::kAsked);
  stats.index_bytes = index_.memory_bytes() + (shared_ ? bloom_.memory_bytes() : 0);
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
