#include "KVService/storage/azure/blob_log.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <random>
#include <utility>

#include "KVCommon/status_macros.h"
#include "KVService/storage/azure/log_compaction.h"
#include "absl/time/clock.h"

namespace kvstore::azure {

namespace {

// Records told at once.
constexpr size_t kTellRecords = 4096;
// In which puts are not appended yet, they add up to one append of at most this.
constexpr size_t kAppendPayload = 1u << 20;

absl::Status Away(const absl::Status& status) {
  return absl::UnavailableError(std::string(status.message()));
}

size_t SizeOf(const LogRecord& record) {
  return sizeof record + record.name.size() + record.attributes.size();
}

// Whether it says nothing about the log's files.
bool IsPassing(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
         absl::IsResourceExhausted(status);
}

}  // namespace

BlobLog::BlobLog(std::shared_ptr<BlobContainer> container, std::string prefix,
                 BlobLogOptions options, Listener listener, Lister lister)
    : container_(std::move(container)),
      prefix_(std::move(prefix)),
      options_(options),
      listener_(std::move(listener)),
      lister_(std::move(lister)) {
  std::random_device random;
  jitter_ = std::uniform_real_distribution<>(0, 1)(random);
  thread_ = std::thread([this] { Run(); });
}

BlobLog::~BlobLog() {
  {
    absl::MutexLock lock(&mutex_);
    closed_ = true;
  }
  thread_.join();
  stop_ = true;
  if (compaction_.joinable()) compaction_.join();
}

void BlobLog::WhenRead(Done done) {
  absl::Status status;
  {
    absl::MutexLock lock(&mutex_);
    if (!tried_ && !closed_) {
      waiting_.push_back(std::move(done));
      return;
    }
    status = closed_ ? absl::UnavailableError("closed") : last_status_;
  }
  std::move(done)(std::move(status));
}

void BlobLog::Append(LogRecord record, Done done) {
  absl::Status status;
  {
    absl::MutexLock lock(&mutex_);
    const size_t size = SizeOf(record);
    const bool fits = queued_bytes_ + size <= options_.max_queued_bytes;
    const bool away = !healthy_ || closed_;
    if (!fits) {
      ++stats_.records_dropped;
      status = absl::ResourceExhaustedError("the shared log is behind");
    } else {
      queued_bytes_ += size;
      queue_.push_back({std::move(record), away ? Done() : std::move(done)});
      append_now_ = healthy_;
      if (!away) return;
      status = absl::UnavailableError("the shared log is away");
    }
  }
  std::move(done)(std::move(status));
}

bool BlobLog::UpToDate() const {
  absl::MutexLock lock(&mutex_);
  // A good poll in the future was before the clock was set back, nobody knows how long.
  return healthy_ && absl::AbsDuration(options_.now() - last_good_) < options_.stale;
}

BlobLogStats BlobLog::stats() const {
  absl::MutexLock lock(&mutex_);
  BlobLogStats stats = stats_;
  stats.queued_records = queue_.size();
  stats.compactions = compactions_;
  if (last_good_ != absl::InfinitePast()) stats.age = options_.now() - last_good_;
  return stats;
}

// After the clock was set back, too. A wait that runs then goes on by the new time, which may be
// hours; what ends it is that its condition is looked at whenever anybody has had the lock, as a
// Lookup's UpToDate has.
bool BlobLog::PollDue() const {
  return absl::AbsDuration(options_.now() - polled_) >= options_.poll;
}

bool BlobLog::MayGoOn() const { return closed_ || append_now_ || PollDue(); }

void BlobLog::Run() {
  for (;;) {
    bool closing = false, poll = false;
    {
      absl::MutexLock lock(&mutex_);
      closing = closed_;
      poll = !closing && PollDue();
    }
    absl::Status status;
    if (poll) {
      status = open_ ? Poll() : Open();
      absl::MutexLock lock(&mutex_);
      polled_ = options_.now();
    }
    // Be it that reading did not come through: what this process knows alone dies with it.
    status.Update(AppendQueued());
    if (closing) break;
    // Files that are gone were compacted while we looked away. From one that was slow or out of
    // reach we go on where we were: one who begins anew each time may never come to its end.
    if (!status.ok() && !IsPassing(status)) open_ = false;
    Note(status);
    if (status.ok() && open_) CompactIfDue();
    absl::MutexLock lock(&mutex_);
    mutex_.AwaitWithTimeout(absl::Condition(this, &BlobLog::MayGoOn), options_.poll);
    append_now_ = false;
  }
  Note(absl::UnavailableError("closed"));
}

// Tells those who wait how it stands.
void BlobLog::Note(const absl::Status& status) {
  std::vector<Done> done;
  {
    absl::MutexLock lock(&mutex_);
    const bool good = status.ok() && open_;
    if (!tails_.empty()) stats_.generation = tails_.back().generation;
    if (healthy_ != good && !closed_) {
      if (good) {
        spdlog::info("shared log followed container={} generation={} records={}",
                     container_->address().container, stats_.generation, stats_.records_read);
      } else {
        spdlog::warn("shared log away container={} error=\"{}\"", container_->address().container,
                     std::string(status.message()));
      }
    }
    healthy_ = good;
    tried_ = true;
    last_status_ = status.ok() ? status : Away(status);
    if (good) last_good_ = options_.now();
    done.swap(waiting_);
    if (!good) {
      for (Queued& queued : queue_) {
        if (queued.done) done.push_back(std::move(queued.done));
        queued.done = nullptr;
      }
    }
  }
  for (Done& each : done) std::move(each)(status.ok() ? status : Away(status));
}

void BlobLog::Tell(std::vector<LogRecord> records) {
  {
    absl::MutexLock lock(&mutex_);
    stats_.records_read += records.size();
  }
  if (listener_ && !records.empty()) listener_(std::move(records));
}

absl::Status BlobLog::Open() {
  open_ = false;
  tails_.clear();
  settled_bytes_ = 0;
  const LogFolder folder{container_.get(), prefix_, options_.request_timeout};
  KV_ASSIGN_OR_RETURN(const auto files, folder.List());
  uint64_t snapshot = 0;
  for (const auto& [name, file] : files) {
    if (file.snapshot) {
      snapshot = std::max(snapshot, file.generation);
    } else {
      Tail& tail = tails_.emplace_back();
      tail.generation = file.generation;
      tail.quiet_since = absl::Now();
    }
  }
  std::sort(tails_.begin(), tails_.end(),
            [](const Tail& a, const Tail& b) { return a.generation < b.generation; });
  if (tails_.empty() && snapshot > 0) {
    // A generation ends only once the next has begun; somebody deleted it.
    tails_.emplace_back().generation = snapshot;
    KV_RETURN_IF_ERROR(Begin(snapshot));
  }
  if (!tails_.empty() && tails_.front().generation > 1) {
    KV_RETURN_IF_ERROR(ReadSnapshots(tails_.front().generation));
  }
  open_ = true;
  return Poll();
}

absl::Status BlobLog::Begin(uint64_t generation) {
  return AwaitStatus([&](auto done) {
    container_->CreateAppendBlob(prefix_ + LogName(generation),
                                 absl::Now() + options_.request_timeout, std::move(done));
  });
}

absl::Status BlobLog::ReadSnapshots(uint64_t generation) {
  const LogFolder folder{container_.get(), prefix_, options_.request_timeout};
  std::vector<LogRecord> records;
  settled_bytes_ = 0;
  const auto visit = [&](LogRecord record) {
    settled_bytes_ += record.name.size() + record.attributes.size();
    records.push_back(std::move(record));
    if (records.size() >= kTellRecords) Tell(std::exchange(records, {}));
  };
  absl::Status status = folder.ReadSnapshot(generation, visit);
  if (absl::IsNotFound(status)) {
    spdlog::error("shared log lost its snapshot, listing container={} generation={}",
                  container_->address().container, generation);
    status = lister_(visit);
  }
  Tell(std::move(records));
  return status;
}

absl::Status BlobLog::Poll() {
  if (tails_.empty()) {
    // Nobody has put anything yet, as far as we know.
    bool wanted;
    {
      absl::MutexLock lock(&mutex_);
      wanted = !queue_.empty();
    }
    const LogFolder folder{container_.get(), prefix_, options_.request_timeout};
    KV_ASSIGN_OR_RETURN(const auto files, folder.List());
    if (!files.empty()) return Open();
    if (!wanted) return absl::OkStatus();
    KV_RETURN_IF_ERROR(Begin(1));
    return Open();
  }
  for (size_t at = 0; at < tails_.size();) {
    const absl::Status status = ReadTail(at);
    if (!absl::IsNotFound(status) || at + 1 >= tails_.size()) {
      KV_RETURN_IF_ERROR(status);
      ++at;
      continue;
    }
    KV_RETURN_IF_ERROR(OnCompacted(at));
  }
  return absl::OkStatus();
}

absl::Status BlobLog::ReadTail(size_t at) {
  const LogFolder folder{container_.get(), prefix_, options_.request_timeout};
  Tail& tail = tails_[at];
  std::vector<LogRecord> records;
  bool rolled = false;
  const uint64_t before = tail.offset;
  ParsedLog parsed;
  const absl::Status status =
      folder.Read(prefix_ + LogName(tail.generation), &tail.offset, &parsed, [&](LogRecord record) {
        if (record.kind == LogRecord::Kind::kRolled) {
          rolled = true;
        } else {
          records.push_back(std::move(record));
        }
        if (records.size() >= kTellRecords) {
          Tell(std::exchange(records, {}));
        }
      });
  Tell(std::move(records));
  if (tail.offset != before) tail.quiet_since = absl::Now();
  tail.batches += parsed.batches;
  tail.rolled |= rolled;
  if (parsed.damaged > 0) {
    spdlog::error("shared log damaged container={} generation={} bytes={}",
                  container_->address().container, tail.generation, parsed.damaged);
    absl::MutexLock lock(&mutex_);
    stats_.damaged_bytes += parsed.damaged;
  }
  KV_RETURN_IF_ERROR(status);
  if (!tail.rolled || at + 1 < tails_.size()) return absl::OkStatus();
  const uint64_t next = tail.generation + 1;
  KV_RETURN_IF_ERROR(Begin(next));
  Tail& youngest = tails_.emplace_back();  // `tail` is gone
  youngest.generation = next;
  youngest.quiet_since = absl::Now();
  return absl::OkStatus();
}

// A generation was compacted and deleted. What came to it after our last look is in the snapshot.
absl::Status BlobLog::OnCompacted(size_t at) {
  const LogFolder folder{container_.get(), prefix_, options_.request_timeout};
  KV_ASSIGN_OR_RETURN(const auto files, folder.List());
  const Tail tail = tails_[at];
  uint64_t length = 0;
  bool found = false;
  for (const auto& [name, file] : files) {
    if (!file.snapshot || file.generation != tail.generation + 1) continue;
    found = true;
    length = std::max(length, file.length);
  }
  if (!found) return absl::NotFoundError("the log was compacted more than once; reading it anew");
  if (tail.offset < length) {
    KV_RETURN_IF_ERROR(ReadSnapshots(tail.generation + 1));
  } else {
    settled_bytes_ += tail.offset;
  }
  tails_.erase(tails_.begin() + static_cast<std::ptrdiff_t>(at));
  return absl::OkStatus();
}

absl::Status BlobLog::AppendQueued() {
  // It takes no more than to know the youngest generation: whatever comes to one is read.
  if (!open_ && tails_.empty()) return absl::OkStatus();
  for (;;) {
    std::string payload;
    std::vector<Queued> batch;
    size_t bytes = 0;
    {
      absl::MutexLock lock(&mutex_);
      while (!queue_.empty() && payload.size() < kAppendPayload) {
        AppendLogRecord(queue_.front().record, &payload);
        bytes += SizeOf(queue_.front().record);
        batch.push_back(std::move(queue_.front()));
        queue_.pop_front();
      }
    }
    absl::Status status;
    if (tails_.empty()) {
      if (batch.empty()) return absl::OkStatus();
      status = Begin(1);
      if (status.ok()) tails_.emplace_back().generation = 1;
    }
    const Tail* const youngest = tails_.empty() ? nullptr : &tails_.back();
    // In a batch of its own that everybody will read.
    const bool roll = youngest != nullptr && !youngest->rolled && HasGrownEnough(*youngest);
    if (roll) AppendLogRecord({LogRecord::Kind::kRolled, {}, {}, 0}, &payload);
    if (payload.empty()) return status;
    if (status.ok()) {
      status = Await<uint64_t>([&](auto done) {
                 container_->Append(prefix_ + LogName(youngest->generation),
                                    Slice::CopyOf(AsBytes(LogBatch(payload))), std::nullopt,
                                    absl::Now() + options_.request_timeout, std::move(done));
               }).status();
    }
    std::vector<Done> finished;
    {
      absl::MutexLock lock(&mutex_);
      if (status.ok()) {
        stats_.records_appended += batch.size();
        queued_bytes_ -= bytes;
      }
      for (Queued& queued : batch) {
        if (queued.done) finished.push_back(std::move(queued.done));
        queued.done = nullptr;
      }
      if (!status.ok()) {
        queue_.insert(queue_.begin(), std::make_move_iterator(batch.begin()),
                      std::make_move_iterator(batch.end()));
      }
    }
    for (Done& done : finished) std::move(done)(status.ok() ? status : Away(status));
    KV_RETURN_IF_ERROR(status);
    if (roll) return ReadTail(tails_.size() - 1);  // goes on in the next generation
  }
}

// A compaction writes the snapshot anew. Where that is little, many appends are reason enough for
// it: whoever starts reads less, and some servers of blobs take long over one of many appends.
bool BlobLog::HasGrownEnough(const Tail& tail) const {
  if (tail.offset >= options_.roll_bytes || tail.batches >= options_.roll_batches) return true;
  return tails_.size() == 1 && tail.batches >= options_.roll_early_batches &&
         tail.offset >= settled_bytes_ / 4;
}

void BlobLog::CompactIfDue() {
  if (tails_.size() < 2 || compacting_) return;
  const absl::Duration quiet = absl::Now() - tails_.front().quiet_since;
  if (quiet < options_.compact_after * (1 + jitter_)) return;
  if (compaction_.joinable()) compaction_.join();
  compacting_ = true;
  tails_.front().quiet_since = absl::Now();  // not before that time again
  compaction_ = std::thread([this, generation = tails_.front().generation] {
    const LogFolder folder{container_.get(), prefix_, options_.request_timeout};
    const absl::Status status = Compact(folder, generation, stop_);
    if (status.ok()) {
      ++compactions_;
    } else if (!absl::IsAborted(status) && !absl::IsCancelled(status) &&
               !absl::IsNotFound(status)) {
      spdlog::warn("shared log not compacted container={} generation={} error=\"{}\"",
                   container_->address().container, generation, std::string(status.message()));
    }
    compacting_ = false;
  });
}

}  // namespace kvstore::azure
