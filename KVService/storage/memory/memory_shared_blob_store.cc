#include "KVService/storage/memory/memory_shared_blob_store.h"

#include <algorithm>
#include <utility>

#include "KVCommon/status_macros.h"
#include "absl/time/clock.h"

namespace kvstore {
namespace {

// Joins with NULs, which names do not have: MemoryBlobStore refuses those that do.
std::string KeyOf(const std::string& account, const std::string& container) {
  std::string key = account;
  key.append(1, '\0').append(container).append(1, '\0');
  return key;
}
std::string KeyOf(const BlobId& id) { return KeyOf(id.account, id.container) + id.name; }

}  // namespace

// One container that one store follows.
struct MemoryAccount::Follower {
  std::string container;  // its key
  BlobListener* listener;
  bool from_thread;
  // Guarded by the account's mutex.
  bool suspended = false;
  bool closed = false;
  bool told_all = false;  // the snapshot that Follow begins with
  bool telling = false;   // a thread tells, and then runs the waiters
  bool hearing = false;   // it is in the listener
  size_t next = 0;        // of the log
  std::vector<SharedBlobStore::FollowDone> waiters;
};

// ---- the account

absl::Status MemoryAccount::Put(const BlobId& id, Blob blob, absl::Time deadline) {
  std::vector<std::shared_ptr<Follower>> followers;
  absl::Status result;
  {
    absl::MutexLock lock(&mutex_);
    BlobInfo info{id, blob.data.size(), blobs_.FootprintOf(id, blob), blob.attributes};
    blobs_.Put(id, std::move(blob), deadline,
               [&result](absl::Status status) { result = std::move(status); });
    if (!result.ok()) return result;
    infos_[KeyOf(id)] = info;
    Log({std::move(info), false});
    followers = ToTell();
  }
  for (const auto& follower : followers) Tell(follower);
  return result;
}

absl::Status MemoryAccount::Delete(const BlobId& id) {
  std::vector<std::shared_ptr<Follower>> followers;
  absl::Status result;
  {
    absl::MutexLock lock(&mutex_);
    blobs_.Delete(id, [&result](absl::Status status) { result = std::move(status); });
    if (!result.ok()) return result;
    infos_.erase(KeyOf(id));
    Log({BlobInfo{.id = id}, true});
    followers = ToTell();
  }
  for (const auto& follower : followers) Tell(follower);
  return result;
}

void MemoryAccount::TellGone(const BlobId& id) {
  std::vector<std::shared_ptr<Follower>> followers;
  {
    absl::MutexLock lock(&mutex_);
    Log({BlobInfo{.id = id}, true});
    followers = ToTell();
  }
  for (const auto& follower : followers) Tell(follower);
}

void MemoryAccount::Log(BlobChange change) {
  logs_[KeyOf(change.blob.id.account, change.blob.id.container)].push_back(std::move(change));
}

std::vector<std::shared_ptr<MemoryAccount::Follower>> MemoryAccount::ToTell() {
  std::vector<std::shared_ptr<Follower>> followers;
  for (const auto& follower : followers_) {
    if (!follower->from_thread && Behind(*follower)) followers.push_back(follower);
  }
  return followers;
}

bool MemoryAccount::Behind(const Follower& follower) const {
  if (follower.suspended || follower.closed) return false;
  const auto log = logs_.find(follower.container);
  return !follower.told_all || (log != logs_.end() && follower.next < log->second.size());
}

void MemoryAccount::Tell(const std::shared_ptr<Follower>& follower) {
  absl::MutexLock lock(&mutex_);
  if (follower->telling) return;
  follower->telling = true;
  while (Behind(*follower) || (follower->told_all && !follower->waiters.empty())) {
    std::vector<BlobChange> changes;
    std::vector<SharedBlobStore::FollowDone> waiters;
    if (Behind(*follower)) {
      std::vector<BlobChange>& log = logs_[follower->container];
      if (follower->told_all) {
        changes.assign(log.begin() + follower->next, log.end());
      } else {
        for (auto it = infos_.lower_bound(follower->container);
             it != infos_.end() && it->first.starts_with(follower->container); ++it) {
          changes.push_back({it->second, false});
        }
      }
      follower->next = log.size();
      follower->told_all = true;
    }
    waiters.swap(follower->waiters);
    follower->hearing = true;
    mutex_.Unlock();
    if (!changes.empty()) follower->listener->OnChanges(changes);
    mutex_.Lock();
    follower->hearing = false;
    mutex_.Unlock();
    for (auto& done : waiters) std::move(done)(absl::OkStatus());
    mutex_.Lock();
  }
  follower->telling = false;
}

// ---- the store

MemorySharedBlobStore::MemorySharedBlobStore(uint64_t capacity_bytes)
    : MemorySharedBlobStore(std::make_shared<MemoryAccount>(capacity_bytes)) {}

MemorySharedBlobStore::MemorySharedBlobStore(std::shared_ptr<MemoryAccount> account)
    : account_(std::move(account)), thread_([this] { Run(); }) {}

MemorySharedBlobStore::~MemorySharedBlobStore() { MemorySharedBlobStore::Close().IgnoreError(); }

absl::Status MemorySharedBlobStore::Refusal(Call call) {
  ++counts_[call];
  if (closed_) return absl::UnavailableError("memory store is closed");
  if (!failures_[call].empty()) {
    absl::Status status = std::move(failures_[call].front());
    failures_[call].pop_front();
    return status;
  }
  // A status of its own: abseil's count of those who share one is not seen by TSan.
  return absl::Status(down_.code(), down_.message());
}

void MemorySharedBlobStore::Start(Call call, absl::Time deadline, Work work) {
  absl::Status refused;
  {
    absl::MutexLock lock(&account_->mutex_);
    refused = Refusal(call);
    if (refused.ok() && hanging_) {
      parked_.push_back({deadline, std::move(work)});
      return;
    }
  }
  std::move(work)(std::move(refused));
}

void MemorySharedBlobStore::Answer(Call call, Callback callback) {
  {
    absl::MutexLock lock(&account_->mutex_);
    if (holding_[call] && !closed_) {
      held_.push_back(std::move(callback));
      return;
    }
  }
  std::move(callback)();
}

void MemorySharedBlobStore::Put(BlobId id, Blob blob, Patience patience,
                                absl::AnyInvocable<void(absl::Status) &&> done) {
  Start(kPut, patience.deadline,
        [this, id = std::move(id), blob = std::move(blob), deadline = patience.deadline,
         done = std::move(done)](absl::Status status) mutable {
          if (status.ok()) status = account_->Put(id, std::move(blob), deadline);
          Answer(kPut, [done = std::move(done), status = std::move(status)]() mutable {
            std::move(done)(std::move(status));
          });
        });
}

void MemorySharedBlobStore::Get(BlobId id, Patience patience,
                                absl::AnyInvocable<void(absl::StatusOr<Blob>) &&> done) {
  Start(kGet, patience.deadline,
        [this, id = std::move(id), patience, done = std::move(done)](absl::Status status) mutable {
          absl::StatusOr<Blob> result = absl::Status(absl::StatusCode::kNotFound, "");
          if (!status.ok()) {
            result = std::move(status);
          } else {
            account_->blobs_.Get(id, patience.deadline, [&result](absl::StatusOr<Blob> blob) {
              result = std::move(blob);
            });
          }
          Answer(kGet, [done = std::move(done), result = std::move(result)]() mutable {
            std::move(done)(std::move(result));
          });
        });
}

void MemorySharedBlobStore::Delete(BlobId id, absl::AnyInvocable<void(absl::Status) &&> done) {
  Start(kDelete, absl::InfiniteFuture(),
        [this, id = std::move(id), done = std::move(done)](absl::Status status) mutable {
          if (status.ok()) status = account_->Delete(id);
          Answer(kDelete, [done = std::move(done), status = std::move(status)]() mutable {
            std::move(done)(std::move(status));
          });
        });
}

absl::Status MemorySharedBlobStore::ListUntil(const std::shared_ptr<Cancellation>& end,
                                              const std::function<void(BlobInfo)>& visit) {
  std::vector<BlobInfo> infos;
  {
    absl::MutexLock lock(&account_->mutex_);
    KV_RETURN_IF_ERROR(Refusal(kList));
    for (const auto& [key, info] : account_->infos_) infos.push_back(info);
  }
  for (BlobInfo& info : infos) {
    if (end != nullptr && end->cancelled()) return absl::CancelledError("the listing");
    visit(std::move(info));
  }
  return absl::OkStatus();
}

BlobStoreUsage MemorySharedBlobStore::Usage() const { return account_->blobs_.Usage(); }

uint64_t MemorySharedBlobStore::FootprintOf(const BlobId& id, const Blob& blob) const {
  return account_->blobs_.FootprintOf(id, blob);
}

void MemorySharedBlobStore::Stat(BlobId id, Patience patience, Done<BlobInfo> done) {
  Start(kStat, patience.deadline,
        [this, id = std::move(id), deadline = patience.deadline,
         done = std::move(done)](absl::Status status) mutable {
          if (status.ok() && deadline <= absl::Now()) {
            status = absl::DeadlineExceededError("memory store: deadline passed");
          }
          absl::StatusOr<BlobInfo> result = absl::Status(absl::StatusCode::kNotFound, "");
          if (status.ok()) {
            absl::MutexLock lock(&account_->mutex_);
            const auto it = account_->infos_.find(KeyOf(id));
            if (it != account_->infos_.end()) result = it->second;
          } else {
            result = std::move(status);
          }
          Answer(kStat, [done = std::move(done), result = std::move(result)]() mutable {
            std::move(done)(std::move(result));
          });
        });
}

void MemorySharedBlobStore::ListPrefix(BlobId prefix, size_t limit, Patience patience,
                                       Done<std::vector<BlobInfo>> done) {
  Start(kListPrefix, patience.deadline,
        [this, begin = KeyOf(prefix), limit, deadline = patience.deadline,
         done = std::move(done)](absl::Status status) mutable {
          if (status.ok() && deadline <= absl::Now()) {
            status = absl::DeadlineExceededError("memory store: deadline passed");
          }
          absl::StatusOr<std::vector<BlobInfo>> result = std::vector<BlobInfo>();
          if (status.ok()) {
            absl::MutexLock lock(&account_->mutex_);
            for (auto it = account_->infos_.lower_bound(begin); it != account_->infos_.end();
                 ++it) {
              if (result->size() == limit || !it->first.starts_with(begin)) break;
              result->push_back(it->second);
            }
          } else {
            result = std::move(status);
          }
          Answer(kListPrefix, [done = std::move(done), result = std::move(result)]() mutable {
            std::move(done)(std::move(result));
          });
        });
}

void MemorySharedBlobStore::TellGone(const BlobId& id) { account_->TellGone(id); }

absl::Status MemorySharedBlobStore::Lease(const std::string& account, const std::string& container,
                                          int seconds) {
  absl::MutexLock lock(&account_->mutex_);
  if (!down_.ok()) return down_;
  MemoryAccount::Lease& lease = account_->leases_[account + "/" + container];
  if (lease.holder != this && absl::Now() < lease.end) return absl::AbortedError("another has it");
  lease = {this, absl::Now() + absl::Seconds(seconds)};
  return absl::OkStatus();
}

absl::Status MemorySharedBlobStore::ListUnshared(const std::function<void(BlobInfo)>& /*visit*/) {
  absl::MutexLock lock(&account_->mutex_);
  return closed_ ? absl::UnavailableError("memory store is closed") : absl::OkStatus();
}

void MemorySharedBlobStore::Follow(const std::string& account, const std::string& container,
                                   BlobListener* listener, absl::Time deadline, FollowDone done) {
  const std::string key = KeyOf(account, container);
  absl::Status refused;
  std::shared_ptr<Follower> follower;
  {
    absl::MutexLock lock(&account_->mutex_);
    refused = Refusal(kFollow);
    if (refused.ok() && deadline <= absl::Now()) {
      refused = absl::DeadlineExceededError("memory store: deadline passed");
    }
    for (const auto& known : followers_) {
      if (known->container == key) follower = known;
    }
    if (follower == nullptr && !closed_) {
      follower = std::make_shared<Follower>(Follower{key, listener, tell_from_thread_});
      follower->suspended = telling_paused_ || !down_.ok();
      followers_.push_back(follower);
      account_->followers_.push_back(follower);
    }
    // A call that failed is tried again by the thread.
    if (refused.ok()) follower->waiters.push_back(std::move(done));
  }
  if (!refused.ok()) return std::move(done)(std::move(refused));
  account_->Tell(follower);
}

bool MemorySharedBlobStore::UpToDate(const std::string& account,
                                     const std::string& container) const {
  const std::string key = KeyOf(account, container);
  absl::MutexLock lock(&account_->mutex_);
  if (up_to_date_) return *up_to_date_;
  for (const auto& follower : followers_) {
    if (follower->container != key) continue;
    const auto log = account_->logs_.find(key);
    const size_t end = log == account_->logs_.end() ? 0 : log->second.size();
    return follower->told_all && !follower->suspended && !follower->hearing &&
           follower->next == end;
  }
  return false;
}

absl::Status MemorySharedBlobStore::Close() {
  absl::MutexLock close_lock(&close_mutex_);
  std::vector<Parked> parked;
  {
    absl::MutexLock lock(&account_->mutex_);
    closed_ = true;
    parked.swap(parked_);
    for (const auto& follower : followers_) {
      follower->closed = true;
      std::erase(account_->followers_, follower);
    }
  }
  for (Parked& call : parked) {
    std::move(call.work)(absl::UnavailableError("memory store is closed"));
  }
  ReleaseCallbacks();
  if (thread_.joinable()) thread_.join();
  std::vector<FollowDone> waiters;
  {
    absl::MutexLock lock(&account_->mutex_);
    const auto quiet = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(account_->mutex_) {
      return std::none_of(followers_.begin(), followers_.end(),
                          [](const auto& follower) { return follower->telling; });
    };
    account_->mutex_.Await(absl::Condition(&quiet));
    for (const auto& follower : followers_) {
      for (FollowDone& done : follower->waiters) waiters.push_back(std::move(done));
      follower->waiters.clear();
    }
  }
  for (FollowDone& done : waiters) std::move(done)(absl::UnavailableError("store is closed"));
  return absl::OkStatus();
}

// ---- the thread: deadlines of hung calls, and telling where that is its task

bool MemorySharedBlobStore::HasWork() const {
  if (closed_) return true;
  if (std::any_of(parked_.begin(), parked_.end(),
                  [now = absl::Now()](const Parked& call) { return call.deadline <= now; })) {
    return true;
  }
  return std::any_of(followers_.begin(), followers_.end(), [this](const auto& follower) {
    account_->mutex_.AssertHeld();
    return (follower->from_thread || !follower->told_all) && !follower->telling &&
           account_->Behind(*follower);
  });
}

void MemorySharedBlobStore::Run() {
  // Deadlines pass without anybody touching the mutex.
  constexpr absl::Duration kTick = absl::Milliseconds(20);
  for (;;) {
    std::vector<Parked> expired;
    std::vector<std::shared_ptr<Follower>> behind;
    {
      absl::MutexLock lock(&account_->mutex_);
      account_->mutex_.AwaitWithTimeout(absl::Condition(this, &MemorySharedBlobStore::HasWork),
                                        kTick);
      if (closed_) return;
      const absl::Time now = absl::Now();
      for (size_t i = 0; i < parked_.size();) {
        if (parked_[i].deadline > now) {
          ++i;
          continue;
        }
        expired.push_back(std::move(parked_[i]));
        parked_.erase(parked_.begin() + i);
      }
      for (const auto& follower : followers_) {
        if (account_->Behind(*follower)) behind.push_back(follower);
      }
    }
    for (Parked& call : expired) {
      std::move(call.work)(absl::DeadlineExceededError("memory store: no answer in time"));
    }
    for (const auto& follower : behind) account_->Tell(follower);
  }
}

// ---- hooks

void MemorySharedBlobStore::FailNext(Call call, absl::Status status) {
  absl::MutexLock lock(&account_->mutex_);
  failures_[call].push_back(std::move(status));
}

void MemorySharedBlobStore::SetDown(absl::Status status) {
  absl::MutexLock lock(&account_->mutex_);
  down_ = std::move(status);
  for (const auto& follower : followers_) follower->suspended = true;
}

void MemorySharedBlobStore::SetUp() {
  std::vector<std::shared_ptr<Follower>> behind;
  {
    absl::MutexLock lock(&account_->mutex_);
    down_ = absl::OkStatus();
    for (const auto& follower : followers_) follower->suspended = telling_paused_;
    behind = account_->ToTell();
  }
  for (const auto& follower : behind) account_->Tell(follower);
}

void MemorySharedBlobStore::PauseTelling() {
  absl::MutexLock lock(&account_->mutex_);
  telling_paused_ = true;
  for (const auto& follower : followers_) follower->suspended = true;
}

void MemorySharedBlobStore::ResumeTelling() {
  std::vector<std::shared_ptr<Follower>> behind;
  {
    absl::MutexLock lock(&account_->mutex_);
    telling_paused_ = false;
    for (const auto& follower : followers_) follower->suspended = !down_.ok();
    behind = account_->ToTell();
  }
  for (const auto& follower : behind) account_->Tell(follower);
  // The thread may have been faster and still be at it.
  const auto told = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(account_->mutex_) {
    return std::none_of(behind.begin(), behind.end(), [](const auto& f) { return f->telling; });
  };
  absl::MutexLock lock(&account_->mutex_);
  account_->mutex_.Await(absl::Condition(&told));
}

void MemorySharedBlobStore::TellFromThread() {
  absl::MutexLock lock(&account_->mutex_);
  tell_from_thread_ = true;
  for (const auto& follower : followers_) follower->from_thread = true;
}

void MemorySharedBlobStore::SetUpToDate(std::optional<bool> up_to_date) {
  absl::MutexLock lock(&account_->mutex_);
  up_to_date_ = up_to_date;
}

void MemorySharedBlobStore::Hang() {
  absl::MutexLock lock(&account_->mutex_);
  hanging_ = true;
}

void MemorySharedBlobStore::Resume() {
  std::vector<Parked> parked;
  {
    absl::MutexLock lock(&account_->mutex_);
    hanging_ = false;
    parked.swap(parked_);
  }
  for (Parked& call : parked) std::move(call.work)(absl::OkStatus());
}

size_t MemorySharedBlobStore::hung_calls() const {
  absl::MutexLock lock(&account_->mutex_);
  return parked_.size();
}

void MemorySharedBlobStore::HoldCallbacks() {
  absl::MutexLock lock(&account_->mutex_);
  holding_.fill(true);
}

void MemorySharedBlobStore::HoldCallbacks(Call call) {
  absl::MutexLock lock(&account_->mutex_);
  holding_[call] = true;
}

void MemorySharedBlobStore::ReleaseCallbacks() {
  std::vector<Callback> held;
  {
    absl::MutexLock lock(&account_->mutex_);
    holding_.fill(false);
    held.swap(held_);
  }
  for (Callback& callback : held) std::move(callback)();
}

size_t MemorySharedBlobStore::held_callbacks() const {
  absl::MutexLock lock(&account_->mutex_);
  return held_.size();
}

uint64_t MemorySharedBlobStore::count(Call call) const {
  absl::MutexLock lock(&account_->mutex_);
  return counts_[call];
}

}  // namespace kvstore
