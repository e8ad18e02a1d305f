// A SharedBlobStore in memory, for the tests of what stands on one: several stores on one
// MemoryAccount are servers that share a container, each with a network of its own that may fail.
#ifndef KVSERVICE_STORAGE_MEMORY_MEMORY_SHARED_BLOB_STORE_H_
#define KVSERVICE_STORAGE_MEMORY_MEMORY_SHARED_BLOB_STORE_H_

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "KVService/storage/memory/memory_blob_store.h"
#include "KVService/storage/shared_blob_store.h"
#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace kvstore {

// What the service holds: the blobs, and the log of what happened to them, which only grows.
// Thread-safe.
class MemoryAccount {
 public:
  explicit MemoryAccount(uint64_t capacity_bytes = 0) : blobs_(capacity_bytes) {}

  // Flips a bit of the stored data. False: no such blob.
  bool Corrupt(const BlobId& id) { return blobs_.Corrupt(id); }

 private:
  friend class MemorySharedBlobStore;
  struct Follower;

  absl::Status Put(const BlobId& id, Blob blob, absl::Time deadline) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Delete(const BlobId& id) ABSL_LOCKS_EXCLUDED(mutex_);
  void TellGone(const BlobId& id) ABSL_LOCKS_EXCLUDED(mutex_);
  void Log(BlobChange change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Those who are told by the thread that made the change.
  std::vector<std::shared_ptr<Follower>> ToTell() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool Behind(const Follower& follower) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Tells what the follower has not heard, unless another thread does: that one then tells all.
  void Tell(const std::shared_ptr<Follower>& follower) ABSL_LOCKS_EXCLUDED(mutex_);

  mutable absl::Mutex mutex_;
  MemoryBlobStore blobs_;  // its calls end before they return, so they may be made under the mutex
  std::map<std::string, BlobInfo> infos_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::vector<BlobChange>> logs_ ABSL_GUARDED_BY(mutex_);  // by container
  struct Lease {
    const void* holder = nullptr;
    absl::Time end = absl::InfinitePast();
  };
  std::map<std::string, Lease> leases_ ABSL_GUARDED_BY(mutex_);  // by container
  std::vector<std::shared_ptr<Follower>> followers_ ABSL_GUARDED_BY(mutex_);
};

// Thread-safe. Everything happens, and every `done` runs, before the call returns, unless a hook
// says otherwise; Usage and List are the account's, whoever put what. Listeners hear of a change on
// the thread that makes it, before its `done` runs, unless another thread is telling them already.
class MemorySharedBlobStore : public SharedBlobStore {
 public:
  enum Call { kPut, kGet, kDelete, kList, kFollow, kStat, kListPrefix, kCalls };

  // On an account of its own; 0: unbounded.
  explicit MemorySharedBlobStore(uint64_t capacity_bytes = 0);
  explicit MemorySharedBlobStore(std::shared_ptr<MemoryAccount> account);
  ~MemorySharedBlobStore() override;

  void Put(BlobId id, Blob blob, Patience patience,
           absl::AnyInvocable<void(absl::Status) &&> done) override;
  void Get(BlobId id, Patience patience,
           absl::AnyInvocable<void(absl::StatusOr<Blob>) &&> done) override;
  void Delete(BlobId id, absl::AnyInvocable<void(absl::Status) &&> done) override;
  absl::Status ListUntil(const std::shared_ptr<Cancellation>& end,
                         const std::function<void(BlobInfo)>& visit) override;
  BlobStoreUsage Usage() const override;
  uint64_t FootprintOf(const BlobId& id, const Blob& blob) const override;
  void Follow(const std::string& account, const std::string& container, BlobListener* listener,
              absl::Time deadline, FollowDone done) override;
  bool UpToDate(const std::string& account, const std::string& container) const override;
  void Stat(BlobId id, Patience patience, Done<BlobInfo> done) override;
  void ListPrefix(BlobId prefix, size_t limit, Patience patience,
                  Done<std::vector<BlobInfo>> done) override;
  void TellGone(const BlobId& id) override;
  absl::Status Lease(const std::string& account, const std::string& container,
                     int seconds) override;
  absl::Status ListUnshared(const std::function<void(BlobInfo)>& visit) override;

  // Answers hung calls with UNAVAILABLE and releases those held; no listener is called after it.
  // REQUIRES: not from a callback or a listener.
  absl::Status Close() override;

  const std::shared_ptr<MemoryAccount>& account() const { return account_; }

  // Hooks. Each concerns this store only, not the others on its account.

  // The next call of that kind fails and does nothing; several queue up.
  void FailNext(Call call, absl::Status status);
  // Every call fails so and no listener is told anything, until SetUp, which tells what was missed.
  void SetDown(absl::Status status);
  void SetUp();
  // Puts, gets, deletes, stats and prefix listings wait, without effect: until Resume, which runs
  // them, or their deadline, with DEADLINE_EXCEEDED.
  void Hang();
  void Resume();
  size_t hung_calls() const;
  // Calls take effect and yet their `done` is held until ReleaseCallbacks, which runs those held,
  // in order, on its thread.
  void HoldCallbacks();
  void HoldCallbacks(Call call);  // of that kind, and those held already
  void ReleaseCallbacks();
  size_t held_callbacks() const;
  // Listeners hear nothing until ResumeTelling.
  void PauseTelling();
  void ResumeTelling();
  // Listeners hear of everything on a thread of this store's, soon after it happened.
  void TellFromThread();
  // nullopt: as it is.
  void SetUpToDate(std::optional<bool> up_to_date);
  // How many calls were made, those that failed included.
  uint64_t count(Call call) const;

 private:
  using Callback = absl::AnyInvocable<void() &&>;
  using Work = absl::AnyInvocable<void(absl::Status refused) &&>;
  using Follower = MemoryAccount::Follower;
  struct Parked {
    absl::Time deadline;
    Work work;
  };

  // Why a call that begins must fail.
  absl::Status Refusal(Call call) ABSL_EXCLUSIVE_LOCKS_REQUIRED(account_->mutex_);
  // Runs the work now, or when it is to be.
  void Start(Call call, absl::Time deadline, Work work) ABSL_LOCKS_EXCLUDED(account_->mutex_);
  void Answer(Call call, Callback callback) ABSL_LOCKS_EXCLUDED(account_->mutex_);
  void Run() ABSL_LOCKS_EXCLUDED(account_->mutex_);
  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(account_->mutex_);

  const std::shared_ptr<MemoryAccount> account_;

  bool closed_ ABSL_GUARDED_BY(account_->mutex_) = false;
  bool hanging_ ABSL_GUARDED_BY(account_->mutex_) = false;
  std::array<bool, kCalls> holding_ ABSL_GUARDED_BY(account_->mutex_){};
  bool telling_paused_ ABSL_GUARDED_BY(account_->mutex_) = false;
  bool tell_from_thread_ ABSL_GUARDED_BY(account_->mutex_) = false;
  absl::Status down_ ABSL_GUARDED_BY(account_->mutex_);  // OK: up
  std::optional<bool> up_to_date_ ABSL_GUARDED_BY(account_->mutex_);
  std::array<std::deque<absl::Status>, kCalls> failures_ ABSL_GUARDED_BY(account_->mutex_);
  std::array<uint64_t, kCalls> counts_ ABSL_GUARDED_BY(account_->mutex_) = {};
  std::vector<Parked> parked_ ABSL_GUARDED_BY(account_->mutex_);
  std::vector<Callback> held_ ABSL_GUARDED_BY(account_->mutex_);
  std::vector<std::shared_ptr<Follower>> followers_ ABSL_GUARDED_BY(account_->mutex_);

  absl::Mutex close_mutex_;
  std::thread thread_;  // last: it uses the others
};

}  // namespace kvstore

#endif  // KVSERVICE_STORAGE_MEMORY_MEMORY_SHARED_BLOB_STORE_H_
