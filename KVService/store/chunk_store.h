// ChunkStore: the semantics of KVStore over two tiers, RAM and a BlobStore. Matching, versions,
// first writer wins, one fetch a block however many ask, eviction, removal of what is corrupt.
// It knows chunks and storage; it knows nothing of gRPC.
//
// A storage that other servers share is followed container by container: the index holds what its
// log told, and the Bloom filter all that the index had to forget. Where the log is away, or the
// filter is not sure, a Lookup asks the storage.
#ifndef KVSERVICE_STORE_CHUNK_STORE_H_
#define KVSERVICE_STORE_CHUNK_STORE_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "KVCommon/slice.h"
#include "KVCommon/wire.h"
#include "KVService/block/location.h"
#include "KVService/cache/ram_cache.h"
#include "KVService/index/bloom_filter.h"
#include "KVService/index/prefix_index.h"
#include "KVService/storage/shared_blob_store.h"
#include "KVService/store/prefix_probe.h"
#include "KVService/store/prefix_walk.h"
#include "KVService/store/shared_containers.h"
#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace kvstore {

struct ChunkStoreOptions {
  // Of cached blocks, blocks on their way in and out, index and filter together; 0: caches nothing.
  uint64_t memory_bytes = uint64_t{1} << 30;
  // Of chunks whose write has begun and not ended. Beyond it writes get RESOURCE_EXHAUSTED.
  uint64_t max_pending_write_bytes = uint64_t{512} << 20;
  // Of blocks that are being fetched from storage, as far as their sizes are known. Others wait.
  uint64_t max_fetch_bytes = uint64_t{512} << 20;
  // The most that a container's account may store, 0 for no limit; thread-safe and quick. Null:
  // none has one.
  std::function<uint64_t(const Container&)> account_quota;
  // The blocks that a Lookup found and that are not in RAM are fetched at once, up to
  // kMaxPrefetches at a time.
  bool prefetch = false;

  // Of a shared storage:
  bool write_back = false;        // writes wait for this machine's disk alone
  uint64_t max_index_blocks = 0;  // the coldest beyond it are forgotten, not deleted; 0: no bound
  uint64_t bloom_blocks = uint64_t{1} << 20;  // that the filter is sized for; it grows beyond
  double bloom_false_positive_rate = 0.01;
};

struct ChunkStoreStats {
  uint64_t blocks = 0;          // known to the index
  uint64_t corrupt_chunks = 0;  // failed their checksum, answered as misses and removed
  uint64_t evicted_chunks = 0;  // from storage, for its capacity
  uint64_t expired_chunks = 0;  // removed since they were older than retention allows
  uint64_t removed_chunks = 0;  // since an administrator asked for it
  uint64_t index_bytes = 0;     // of index and filter
  uint64_t pending_write_bytes = 0;
  RamCache::Usage ram;
  BlobStoreUsage storage;

  // Of a shared storage:
  bool shared = false;
  BloomStats bloom;
  uint64_t forgotten_blocks = 0;
  uint64_t probes = 0;  // blocks that the storage was asked for by a Lookup
  uint64_t probes_found = 0;
  uint64_t bloom_denied = 0;  // Lookups that the filter ended: a block was certainly not there
  uint64_t bloom_probes = 0;  // probes that the filter was not sure of
  uint64_t bloom_probes_found = 0;  // the others were false positives (or deleted since)
};

// Thread-safe. Callbacks run exactly once, outside locks, on the caller's thread or on one of the
// storage's; they must not block.
class ChunkStore : private BlobListener {
 public:
  // What it refers to has to live until Lookup returns, no longer.
  struct LookupQuery {
    std::string_view partition;
    const PackedTokens& tokens;
    std::span<const uint64_t> precomputed_hashes;
  };
  struct FoundBlock {
    uint64_t hash = 0;
    LocationText location{};
    uint64_t size = 0;  // stored, rounded up to KiB
    wire::BlockTier tier = wire::BlockTier::kUnknown;
  };
  struct LookupResult {
    std::vector<FoundBlock> blocks;
    int64_t storage_us = 0;  // 0 where it was answered from RAM
  };
  struct ReadResult {
    Slice chunk;  // the serialized PromptChunk
    int64_t storage_us = 0;
    bool remote = false;  // another machine had it
  };
  struct WriteResult {
    bool stored = false;  // false: that version was there already
    int64_t storage_us = 0;
  };
  using LookupDone = absl::AnyInvocable<void(absl::StatusOr<LookupResult>) &&>;
  using ReadDone = absl::AnyInvocable<void(absl::StatusOr<ReadResult>) &&>;
  using WriteDone = absl::AnyInvocable<void(absl::StatusOr<WriteResult>) &&>;

  // Loads the index from what `storage` holds, and its location key (made at first use). Evicts
  // what is beyond the storage's capacity. Blocks.
  static absl::StatusOr<std::unique_ptr<ChunkStore>> Open(ChunkStoreOptions options,
                                                          std::unique_ptr<BlobStore> storage);
  // Of a storage that is shared: containers are opened at their first use.
  static absl::StatusOr<std::unique_ptr<ChunkStore>> OpenShared(
      ChunkStoreOptions options, std::unique_ptr<SharedBlobStore> storage);
  ~ChunkStore() override;

  // The leading blocks of the prompt that are stored, first block first (store/prefix_walk.h).
  // Answered before the call returns, from RAM, unless the storage is shared and the container not
  // open yet or not up to date. UNAVAILABLE where a container cannot be opened.
  void Lookup(const Container& container, const LookupQuery& query, absl::Time deadline,
              LookupDone done, std::shared_ptr<const Origin> origin = nullptr);

  // The chunk at a location of this container; NOT_FOUND, without a message, where there is none:
  // evicted, corrupt (it is removed), or no location that this store gave out.
  //
  // Gives a number to Abandon it by.
  //
  // What a fetch or a put asks of others is for `origin`, the first's of those that share it.
  uint64_t Read(const Container& container, std::string_view location, absl::Time deadline,
                ReadDone done, std::shared_ptr<const Origin> origin = nullptr);
  // Nobody waits for that read any more: where it waits for the storage it ends at once, with
  // CANCELLED, and so does the storage's work once nobody else waits for that. Nothing where it has
  // ended.
  void Abandon(uint64_t read);

  // Stores a chunk under its version, or succeeds at once where that is there. `encoded` is its
  // canonical serialization; `chunk` says what it holds. OK once it is as durable as the storage
  // promises. INVALID_ARGUMENT: as ValidateChunk.
  // RESOURCE_EXHAUSTED: too much is being written, the storage is full, or the partition would hold
  // more than its quota (0: none), or the account than its own. What a partition or an account
  // holds is what the index knows of it.
  void Write(const Container& container, const wire::Chunk& chunk, Slice encoded,
             absl::Time deadline, WriteDone done, uint64_t partition_quota = 0,
             std::shared_ptr<const Origin> origin = nullptr);

  // Of a storage that is not shared: removes the block of a blob that the storage found damaged, as
  // a Read that found it would, from index, RAM and storage. Blobs that are no blocks stay.
  void RemoveDamaged(const BlobId& blob);

  // ---- what administrators ask for. None of it counts as a use of a block.

  struct StoredBlock {
    BlockVersion version;
    LocationText location{};
    uint64_t parent_hash = 0;  // 0: a prompt's first, or its writer did not say
    bool by_parent = false;    // matched through its parent's hash alone
    uint64_t size = 0;         // of the serialized chunk
    absl::Time written;
    bool in_ram = false;
    bool on_disk = false;  // of this server
    bool shared = false;   // in a storage that other servers use
  };
  using StoredBlocksDone = absl::AnyInvocable<void(absl::StatusOr<std::vector<StoredBlock>>) &&>;

  // The blocks of a partition, at most `limit`, by name; as the storage itself tells, which this
  // blocks on where it is a disk.
  void ListPartition(const Container& container, std::string_view partition, size_t limit,
                     absl::Time deadline, StoredBlocksDone done);
  // All versions of the block that a location is of, that one first. NOT_FOUND, without a message,
  // where the location is none that this store gave out for the container, or it is gone.
  void ListVersions(const Container& container, std::string_view location, absl::Time deadline,
                    StoredBlocksDone done);
  // Why a block goes.
  enum class Removal { kUnsound, kCapacity, kExpired, kAsked };
  // Removes the block at a location, and the blocks that are matched through it, from index, RAM
  // and storage. How many; 0 where there is none. UNAVAILABLE where one of them is being removed
  // already, or the storage cannot.
  using RemoveDone = absl::AnyInvocable<void(absl::StatusOr<size_t>) &&>;
  void Remove(const Container& container, std::string_view location, Removal why, RemoveDone done);

  // What was removed, or with `dry_run` would be.
  struct Swept {
    uint64_t blocks = 0;
    uint64_t bytes = 0;
  };
  // Whether a block is to go, and whether this server may still remove blocks of a container, asked
  // before some of them go; on the caller's thread.
  using Expired = std::function<bool(const Container&, const PartitionDigest&, absl::Time written)>;
  using May = std::function<bool(const Container&)>;
  // Removes what has expired, a hundred thousand blocks at most, as the storage lists it. Blocks.
  // An error where it cannot list, or the first that removing met; CANCELLED, soon, where `end`, if
  // not null, is while it lists.
  absl::StatusOr<Swept> RemoveExpired(const Expired& expired, const May& may, bool dry_run,
                                      const std::shared_ptr<Cancellation>& end = nullptr);
  // Removes what is least worth keeping of a container until it has at most so many bytes, as far
  // as the index knows of it. Blocks. Errors as before; UNAVAILABLE where nobody has told of the
  // container yet.
  absl::StatusOr<Swept> FitContainer(const Container& container, uint64_t bytes, const May& may,
                                     bool dry_run);

  // How much RAM the cache and what it stands on may take from now on.
  void SetMemory(uint64_t bytes) { ram_.SetCapacity(bytes); }
  // Evicts what is beyond the storage's capacity, after that has changed.
  void FitCapacity() { MakeRoom(); }

  ChunkStoreStats stats() const;
  // Of the partition, as far as the index knows.
  uint64_t StoredBytes(const Space& space) const { return index_.FootprintOf(space); }

  // Whether other servers see what this one stores.
  bool shared() const { return shared_ != nullptr; }
  // Whether writes wait for other machines.
  bool writes_remotely() const { return shared() && !options_.write_back; }

  // Waits for what runs and closes the storage. Calls made after it fail with UNAVAILABLE.
  absl::Status Close();

  static constexpr int kMaxPrefetches = 64;

 private:
  struct WriteWaiter;
  struct Writing;
  struct Fetching;
  struct Deleting;

  ChunkStore(ChunkStoreOptions options, std::unique_ptr<BlobStore> storage, SharedBlobStore* shared,
             const LocationCodec::Key& key);

  void LoadIndex(std::vector<BlobInfo> blobs);
  uint64_t OtherMemory(const Slice& incoming) const;

  // Of a shared storage: what its log tells.
  void OnChanges(std::span<const BlobChange> changes) override;
  // Adds a block to the index, and to the filter where the storage is shared.
  void Learn(const Container& container, const PartitionDigest& partition, const BlockId& id,
             const IndexedBlock& block);
  void LearnFrom(const BlobInfo& info);
  void ForgetColdest();

  struct Search;
  struct Looking;
  LookupResult Found(const Search& search, std::span<const MatchedBlock> chain);
  // Sets the tier of each block: RAM where `in_ram` says so.
  void SetTiers(const Search& search, std::span<const BlockId> ids, const std::vector<bool>& in_ram,
                LookupResult* result) const;
  void LookUpShared(const Container& container, const LookupQuery& query, absl::Time deadline,
                    LookupDone done, std::shared_ptr<const Origin> origin);
  void Walk(std::unique_ptr<Looking> looking, bool may_probe);
  std::vector<WantedBlock> WorthProbing(const Search& search, size_t found, bool up_to_date);
  void Prefetch(const Container& container, const PartitionDigest& partition,
                std::span<const BlockId> blocks);

  struct ReadWaiter {
    uint64_t number = 0;  // 0: cannot be abandoned
    ReadDone done;
    std::shared_ptr<const Origin> origin;
  };
  void ReadAt(const LocationCodec& codec, const Container& container, std::string_view location,
              absl::Time deadline, ReadWaiter waiter);
  void Fetch(const Container& container, const PartitionDigest& partition, const BlockId& id,
             ReadWaiter waiter);
  // Starts the fetches that fit.
  void StartFetches();
  void StartWrite(std::shared_ptr<Writing> writing, WriteWaiter waiter);
  absl::Status CheckQuotas(const Writing& writing, uint64_t size) const
      ABSL_SHARED_LOCKS_REQUIRED(mutex_);

  // Calls back with the codec of the container's locations, and counts as running until then.
  // NOT_FOUND, without a message, where nobody has written to it.
  using CodecDone = absl::AnyInvocable<void(absl::StatusOr<const LocationCodec*>) &&>;
  void WithCodec(const Container& container, CodecDone done);
  void ListBlocks(const LocationCodec* codec, BlobId prefix, size_t limit, absl::Time deadline,
                  StoredBlocksDone done);
  // Deletes them, all at once, and waits. REQUIRES: marked.
  absl::Status DeleteAndWait(std::vector<PrefixIndex::Removed> removed, Removal why);
  // Takes a block, and what is matched through it, out of the index, and marks them as being
  // deleted. nullopt where it is on its way out already.
  std::optional<std::vector<PrefixIndex::Removed>> TakeOut(const Container& container,
                                                           const NamedBlock& block)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void RemoveBlock(const Container& container, const NamedBlock& block, Removal why,
                   RemoveDone done);

  static absl::Status ClosedError();
  static int64_t MicrosecondsSince(absl::Time start);

  // Counts a call whose callback is still to come; false once closed.
  bool Begin();
  void End();

  // Puts the first waiter's chunk, as soon as no deletion of its version is under way and the
  // storage has room for it.
  void StartPut(std::shared_ptr<Writing> writing);
  // Starts the puts that fit, evicts for those that do not, fails them where nothing is left to.
  void MakeRoom();
  void Put(std::shared_ptr<Writing> writing);
  void FinishPut(std::shared_ptr<Writing> writing, absl::Status status);
  void FinishFetch(const BlockId& id, absl::StatusOr<Blob> blob);
  // Deletes from RAM and storage what the index has let go, in its order. Between the two calls the
  // blocks count as being deleted: a write of one waits, lest its new blob be deleted.
  void MarkDeleting(const std::vector<PrefixIndex::Removed>& removed)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The blocks by parent that are being written and whose parent has just gone go, too.
  void OrphanWrites(const PrefixIndex::Removed& parent) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DeleteAll(std::vector<PrefixIndex::Removed> removed, Removal why,
                 absl::AnyInvocable<void(absl::Status) &&> done = nullptr);
  void DeleteNext(std::shared_ptr<Deleting> deleting);
  // Fails the puts that wait for room: where nothing can be deleted there will be none, and
  // evicting more would only empty the index.
  void RefuseWaiting(const absl::Status& status);
  void GiveUpDeleting(const Deleting& deleting);
  // Lets the put that waits for it go on. With `back`, what could not be deleted is known again.
  void EndDeleting(const BlockId& id, const PrefixIndex::Removed* back = nullptr);

  const ChunkStoreOptions options_;
  const std::unique_ptr<BlobStore> storage_;
  SharedBlobStore* const shared_;  // storage_, where it is shared; else nullptr
  const LocationCodec locations_;  // of a storage that is not shared
  PrefixIndex index_;
  BloomFilter bloom_;  // of a shared storage
  SharedContainers containers_;
  RamCache ram_;

  mutable absl::Mutex mutex_;
  // The versions being written, with those who wait for the outcome.
  absl::flat_hash_map<BlockId, std::shared_ptr<Writing>> writing_ ABSL_GUARDED_BY(mutex_);
  int writes_by_parent_ ABSL_GUARDED_BY(mutex_) = 0;  // of those, blocks matched by their parent
  // The blocks being fetched from storage: concurrent reads of one block share one fetch.
  absl::flat_hash_map<BlockId, std::shared_ptr<Fetching>> fetching_ ABSL_GUARDED_BY(mutex_);
  std::deque<std::shared_ptr<Fetching>> waiting_fetches_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<uint64_t, BlockId> read_waits_for_ ABSL_GUARDED_BY(mutex_);
  uint64_t fetch_bytes_ ABSL_GUARDED_BY(mutex_) = 0;  // of those that run
  // The versions being deleted, each with the put that waits for that.
  struct Doomed {
    uint64_t footprint = 0;
    std::shared_ptr<Writing> next_writing;
  };
  absl::flat_hash_map<BlockId, Doomed> deleting_ ABSL_GUARDED_BY(mutex_);
  // The puts that wait for room, and the footprints of those, of the puts and of the deletes that
  // run: together they say when to evict.
  std::deque<std::shared_ptr<Writing>> waiting_for_room_ ABSL_GUARDED_BY(mutex_);
  uint64_t waiting_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t largest_footprint_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t reserved_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t releasing_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  int running_ ABSL_GUARDED_BY(mutex_) = 0;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;

  std::atomic<uint64_t> last_read_ = 0;
  std::atomic<uint64_t> pending_write_bytes_ = 0;
  std::atomic<uint64_t> corrupt_chunks_ = 0;
  std::array<std::atomic<uint64_t>, 4> removed_chunks_ = {};  // by Removal
  std::atomic<uint64_t> forgotten_ = 0;
  std::atomic<uint64_t> probes_ = 0;
  std::atomic<uint64_t> probes_found_ = 0;
  std::atomic<uint64_t> bloom_denied_ = 0;
  std::atomic<uint64_t> bloom_probes_ = 0;
  std::atomic<uint64_t> bloom_probes_found_ = 0;
  std::atomic<int> prefetching_ = 0;
};

}  // namespace kvstore

#endif  // KVSERVICE_STORE_CHUNK_STORE_H_
