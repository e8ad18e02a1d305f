#include "KVService/storage/local/committer.h"

#include <map>
#include <utility>

#include "KVCommon/status_macros.h"

namespace kvstore::local {
namespace {

thread_local const Committer* current_committer = nullptr;

}  // namespace

void CommitTogether(std::span<Commit> commits, Metadata* metadata, SegmentSet* segments,
                    bool sync) {
  std::map<Segment*, absl::Status> synced;
  std::vector<MetadataChange> changes;
  changes.reserve(commits.size());
  for (const Commit& commit : commits) {
    if (sync) {
      const auto [it, fresh] = synced.try_emplace(commit.segment);
      if (fresh) it->second = commit.segment->Sync();
      if (!it->second.ok()) continue;
    }
    changes.push_back({commit.key, commit.location});
  }
  absl::Status applied;
  bool attempted = false;
  if (!changes.empty()) {
    // A deletion is in the log before its record is freed, so this sync takes it along.
    const uint64_t freed = segments->Freed();
    applied = metadata->Apply(changes, sync, &attempted);
    if (sync && applied.ok()) segments->Settle(freed);
  }

  for (Commit& commit : commits) {
    CommitResult result;
    const auto it = synced.find(commit.segment);
    if (it != synced.end() && !it->second.ok()) {
      result = {CommitOutcome::kPayloadLost, it->second};
    } else if (!applied.ok()) {
      result = {attempted ? CommitOutcome::kUncertain : CommitOutcome::kRefused, applied};
    }
    // Moved out first: `done` may free what holds the commit's key.
    auto done = std::move(commit.done);
    std::move(done)(std::move(result));
  }
}

Committer::Committer(Metadata* metadata, SegmentSet* segments)
    : metadata_(metadata), segments_(segments), thread_([this] { Run(); }) {}

Committer::~Committer() { Stop(); }

bool Committer::OnCommitterThread() const { return current_committer == this; }

void Committer::Stop() {
  KV_CHECK(!OnCommitterThread());
  {
    absl::MutexLock lock(&mutex_);
    stopped_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

void Committer::Add(Commit commit) {
  absl::MutexLock lock(&mutex_);
  waiting_.push_back(std::move(commit));
}

QueueLoad Committer::load() const {
  absl::MutexLock lock(&mutex_);
  return {waiting_.size(), running_};
}

bool Committer::HasWorkOrStopped() const { return stopped_ || !waiting_.empty(); }

void Committer::Run() {
  current_committer = this;
  for (;;) {
    std::vector<Commit> group;
    {
      absl::MutexLock lock(&mutex_);
      running_ = 0;
      mutex_.Await(absl::Condition(this, &Committer::HasWorkOrStopped));
      if (waiting_.empty()) return;
      group.swap(waiting_);
      running_ = group.size();
    }
    CommitTogether(group, metadata_, segments_, /*sync=*/true);
  }
}

}  // namespace kvstore::local
