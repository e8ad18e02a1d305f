#include "KVService/storage/local/local_blob_store.h"

#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <utility>

#include "KVCommon/digest.h"
#include "KVCommon/status_macros.h"
#include "KVService/storage/local/committer.h"
#include "KVService/storage/local/local_op.h"
#include "KVService/storage/local/metadata.h"
#include "KVService/storage/local/rebuild.h"
#include "KVService/storage/local/recovery.h"
#include "KVService/storage/local/scrubber.h"
#include "KVService/storage/local/segments.h"
#include "absl/time/clock.h"

namespace kvstore {

namespace {

constexpr std::string_view kFormat = "kvstore-local 1\n";

uint64_t SegmentBytes(const LocalOptions& options) {
  constexpr uint64_t kLeast = 8ull << 20;
  constexpr uint64_t kMost = 256ull << 20;
  uint64_t bytes = options.segment_bytes;
  if (bytes == 0) {
    bytes = options.capacity_bytes == 0 ? kMost
                                        : std::clamp(options.capacity_bytes / 16, kLeast, kMost);
  }
  return (bytes + local::kRecordAlignment - 1) & ~(local::kRecordAlignment - 1);
}

uint64_t RecycleBytes(const LocalOptions& options) {
  constexpr uint64_t kLeast = 64ull << 20;
  constexpr uint64_t kMost = 1ull << 30;
  return options.recycle_bytes.value_or(std::clamp(options.capacity_bytes / 32, kLeast, kMost));
}

constexpr char kFormatFile[] = "FORMAT";
constexpr char kFormatCopy[] = "FORMAT.copy";
constexpr char kClosedFile[] = "CLOSED";

// An unmarked directory that has our subdirectories is one whose mark was lost, or not ours: it is
// better left alone.
absl::Status CheckUnmarked(FileSystem* files, const std::string& directory) {
  KV_ASSIGN_OR_RETURN(const std::vector<std::string> names, files->ListDirectory(directory));
  for (const std::string& name : names) {
    if (name != "index" && name != "segments") continue;
    return absl::FailedPreconditionError(fmt::format(
        "{} has a directory '{}' but no FORMAT file; choose an empty directory", directory, name));
  }
  return absl::OkStatus();
}

// Either copy is enough, since a byte of the other may have rotted. Another version changes both.
absl::Status CheckFormat(FileSystem* files, const std::string& directory) {
  const auto format = ReadSmallFile(files, directory + "/" + kFormatFile, 256);
  const auto copy = ReadSmallFile(files, directory + "/" + kFormatCopy, 256);
  const bool format_good = format.ok() && *format == kFormat;
  const bool copy_good = copy.ok() && *copy == kFormat;
  if (!format_good && !copy_good) {
    if (format.ok()) {
      return absl::FailedPreconditionError(fmt::format(
          "{}/FORMAT says '{}', which this version cannot read; it reads '{}'", directory,
          format->substr(0, format->find('\n')), kFormat.substr(0, kFormat.size() - 1)));
    }
    if (!absl::IsNotFound(format.status())) return format.status();
    KV_RETURN_IF_ERROR(CheckUnmarked(files, directory));
  } else if (!format_good || (!copy_good && !absl::IsNotFound(copy.status()))) {
    spdlog::error("format file damaged, written again path={}/{}", directory,
                  format_good ? kFormatCopy : kFormatFile);
  }
  if (!format_good) KV_RETURN_IF_ERROR(WriteSmallFile(files, directory, kFormatFile, kFormat));
  if (!copy_good) KV_RETURN_IF_ERROR(WriteSmallFile(files, directory, kFormatCopy, kFormat));
  return absl::OkStatus();
}

// What CLOSED says: how many blobs there were, and a checksum. So metadata that lost its end at
// rest, which looks like one that a crash cut off, is told from it.
std::string ClosedMark(uint64_t blobs) {
  const std::string text = fmt::format("blobs {}", blobs);
  return fmt::format("{} {:08x}\n", text, Crc32c(AsBytes(text)));
}

// Takes the mark away; the number of blobs, where there is a good one.
absl::StatusOr<std::optional<uint64_t>> TakeClosedMark(FileSystem* files,
                                                       const std::string& directory) {
  const std::string path = directory + "/" + kClosedFile;
  const auto mark = ReadSmallFile(files, path, 256);
  if (absl::IsNotFound(mark.status())) return std::nullopt;
  KV_RETURN_IF_ERROR(files->Remove(path));
  KV_RETURN_IF_ERROR(files->SyncDirectory(directory));
  uint64_t blobs = 0;
  if (mark.ok() && mark->starts_with("blobs ")) {
    std::from_chars(mark->data() + 6, mark->data() + mark->size(), blobs);
    if (*mark == ClosedMark(blobs)) return blobs;
  }
  spdlog::error("mark of the last close damaged, ignored path={}", path);
  return std::nullopt;
}

}  // namespace

absl::StatusOr<std::unique_ptr<LocalBlobStore>> LocalBlobStore::Open(LocalOptions options) {
  if (options.directory.empty() || options.read_threads == 0 || options.write_threads == 0 ||
      options.max_pending == 0) {
    return absl::InvalidArgumentError(
        "local store: directory, threads and max_pending must be given");
  }
  if (options.files == nullptr) options.files = RealFileSystem();
  options.segment_bytes = SegmentBytes(options);
  std::unique_ptr<LocalBlobStore> store(new LocalBlobStore(std::move(options)));
  KV_RETURN_IF_ERROR(store->Start());
  return store;
}

LocalBlobStore::LocalBlobStore(LocalOptions options) : options_(std::move(options)) {}

absl::Status LocalBlobStore::Start() {
  const absl::Time begin = absl::Now();
  FileSystem* const files = options_.files;
  const std::string segments_directory = options_.directory + local::kSegmentsFolder;
  KV_RETURN_IF_ERROR(files->CreateDirectory(options_.directory));
  KV_ASSIGN_OR_RETURN(directory_lock_, files->LockDirectory(options_.directory));
  KV_RETURN_IF_ERROR(CheckFormat(files, options_.directory));
  KV_RETURN_IF_ERROR(files->CreateDirectory(segments_directory));
  KV_ASSIGN_OR_RETURN(local::Recovered found, OpenMetadata());
  KV_RETURN_IF_ERROR(files->SyncDirectory(options_.directory));

  local::SegmentSet::Options segment_options;
  segment_options.files = files;
  segment_options.directory = segments_directory;
  segment_options.segment_bytes = options_.segment_bytes;
  segment_options.sync_directory = options_.durability != Durability::kNone;
  segment_options.settle_freed = options_.durability != Durability::kNone;
  segment_options.recycle_bytes = RecycleBytes(options_);
  segments_ = std::make_unique<local::SegmentSet>(segment_options, found.next_segment);
  for (auto& [segment, records] : found.segments) {
    segments_->AddSealed(std::move(segment), records);
  }
  {
    absl::MutexLock lock(&mutex_);
    usage_ = {found.records, found.bytes, options_.capacity_bytes};
  }
  if (options_.durability == Durability::kBatch) {
    committer_ = std::make_unique<local::Committer>(metadata_.get(), segments_.get());
  }
  readers_ = std::make_unique<ThreadPool>("kv-read", options_.read_threads, options_.max_pending);
  writers_ = std::make_unique<ThreadPool>("kv-write", options_.write_threads, options_.max_pending);
  deleter_ = std::make_unique<ThreadPool>("kv-delete", 1, 1);
  KV_ASSIGN_OR_RETURN(async_reader_, MakeAsyncReader(options_.io));
  for (const std::string& key : found.dangling_dropped) {
    if (absl::StatusOr<BlobId> id = local::IdOf(key); id.ok()) lost_.push_back(*std::move(id));
  }
  recovery_.records = found.records;
  recovery_.bytes = found.bytes;
  recovery_.tail_bytes_cut = found.tail_bytes_cut;
  recovery_.dangling_dropped = lost_.size();
  recovery_.milliseconds = absl::ToInt64Milliseconds(absl::Now() - begin);
  return absl::OkStatus();
}

absl::StatusOr<local::Recovered> LocalBlobStore::OpenMetadata() {
  FileSystem* const files = options_.files;
  const std::string segments_directory = options_.directory + local::kSegmentsFolder;
  KV_ASSIGN_OR_RETURN(const std::optional<uint64_t> blobs,
                      TakeClosedMark(files, options_.directory));
  absl::Status damage = local::PrepareIndex(files, options_.directory);
  bool all_read = false;
  if (damage.ok()) {
    auto metadata = local::Metadata::Open(options_.directory + local::kIndexFolder);
    damage = metadata.status();
    if (metadata.ok()) metadata_ = *std::move(metadata);
  }
  if (damage.ok()) {
    auto found = local::Recover(files, segments_directory, metadata_.get(), blobs, &all_read);
    if (!absl::IsDataLoss(found.status())) return found;
    damage = found.status();
  }
  if (!absl::IsDataLoss(damage)) return damage;
  spdlog::error("metadata damaged, made anew from the segments directory={} kept={} error=\"{}\"",
                options_.directory, local::kDamagedIndexFolder, std::string(damage.message()));
  // Where a part cannot be read, the rest is right. Where all can be, and is not what there was,
  // nothing tells which part.
  if (all_read) metadata_.reset();
  KV_ASSIGN_OR_RETURN(
      local::Rebuilt rebuilt,
      local::Rebuild(files, options_.directory, std::move(metadata_), options_.may_return));
  spdlog::warn("metadata made anew directory={} records={} dropped={} segments_cut_short={}",
               options_.directory, rebuilt.records, rebuilt.lost.size(),
               rebuilt.segments_cut_short);
  recovery_.rebuilt = true;
  metadata_ = std::move(rebuilt.metadata);
  KV_ASSIGN_OR_RETURN(
      local::Recovered found,
      local::Recover(files, segments_directory, metadata_.get(), std::nullopt, &all_read));
  std::move(rebuilt.lost.begin(), rebuilt.lost.end(), std::back_inserter(found.dangling_dropped));
  return found;
}

LocalBlobStore::~LocalBlobStore() {
  // To wait for the callback that we are in would take for ever.
  KV_CHECK(!OnOwnThread());
  // Whoever wants to know its outcome calls it.
  Close().IgnoreError();
}

bool LocalBlobStore::OnOwnThread() const {
  return (readers_ && readers_->OnPoolThread()) || (writers_ && writers_->OnPoolThread()) ||
         (deleter_ && deleter_->OnPoolThread()) || (committer_ && committer_->OnCommitterThread());
}

absl::Status LocalBlobStore::Close() {
  if (OnOwnThread()) {
    return absl::FailedPreconditionError("local store: Close called from one of its callbacks");
  }
  absl::MutexLock close_lock(&close_mutex_);
  if (close_done_) return close_status_;
  close_done_ = true;
  {
    absl::MutexLock lock(&mutex_);
    closed_ = true;
    mutex_.Await(absl::Condition(this, &LocalBlobStore::Idle));
  }
  if (scrubber_) scrubber_->Stop();
  // Nothing is left to run; this waits for callbacks to return. The objects stay, since others may
  // still ask OnOwnThread.
  if (writers_) writers_->Shutdown();
  if (deleter_) deleter_->Shutdown();
  if (async_reader_) async_reader_->Shutdown();
  if (readers_) readers_->Shutdown();
  if (committer_) committer_->Stop();
  if (segments_) close_status_.Update(segments_->Close());
  if (metadata_) {
    const absl::Status synced = metadata_->Sync();
    if (synced.ok() && segments_) segments_->DiscardFreed();
    close_status_.Update(synced);
  }
  if (segments_ && close_status_.ok()) close_status_.Update(MarkClosed());
  segments_.reset();
  metadata_.reset();
  directory_lock_.reset();
  return close_status_;
}

void LocalBlobStore::StartScrub(ScrubOptions scrub) {
  KV_CHECK(!scrubber_ && scrub.bytes_per_second > 0);
  scrubber_ = std::make_unique<local::Scrubber>(local::Scrubber::Options{
      std::move(scrub), options_.directory, options_.files, metadata_.get(), segments_.get()});
  scrubber_->Start();
}

absl::Status LocalBlobStore::CheckAll(ScrubOptions scrub,
                                      const std::function<bool(const ScrubStats&)>& go_on) {
  {
    absl::MutexLock lock(&mutex_);
    if (closed_) return Admit(0, 0);
    ++pending_;  // Close waits for it
  }
  local::Scrubber scrubber(local::Scrubber::Options{
      std::move(scrub), options_.directory, options_.files, metadata_.get(), segments_.get()});
  const absl::Status status = scrubber.CheckAll([&](const ScrubStats& stats) {
    {
      absl::MutexLock lock(&mutex_);
      if (closed_) return false;
    }
    return go_on(stats);
  });
  absl::MutexLock lock(&mutex_);
  --pending_;
  return status;
}

void LocalBlobStore::SetCapacity(uint64_t bytes) {
  absl::MutexLock lock(&mutex_);
  usage_.capacity_bytes = bytes;
}

ScrubStats LocalBlobStore::scrub_stats() const {
  return scrubber_ ? scrubber_->stats() : ScrubStats();
}

absl::Status LocalBlobStore::MarkClosed() {
  uint64_t blobs = 0;
  {
    absl::MutexLock lock(&mutex_);
    if (!usage_certain_) return absl::OkStatus();
    blobs = usage_.blobs;
  }
  return WriteSmallFile(options_.files, options_.directory, kClosedFile, ClosedMark(blobs));
}

absl::Status LocalBlobStore::Admit(size_t limit, uint64_t put_bytes) {
  if (closed_) {
    return absl::UnavailableError(fmt::format("local store {} is closed", options_.directory));
  }
  if (pending_ >= limit || (put_bytes > 0 && pending_put_bytes_ > 0 &&
                            pending_put_bytes_ + put_bytes > options_.max_pending_put_bytes)) {
    return absl::ResourceExhaustedError(
        fmt::format("local store {}: {} operations, {} bytes of puts pending", options_.directory,
                    pending_, pending_put_bytes_));
  }
  ++pending_;
  pending_put_bytes_ += put_bytes;
  return absl::OkStatus();
}

LocalQueues LocalBlobStore::queues() const {
  LocalQueues queues;
  queues.reads = readers_->load();
  queues.device = async_reader_->load();
  queues.writes = writers_->load();
  if (committer_) queues.commits = committer_->load();
  absl::MutexLock lock(&mutex_);
  queues.deletes = {deletes_.size(), running_deletes_};
  return queues;
}

BlobStoreUsage LocalBlobStore::Usage() const {
  absl::MutexLock lock(&mutex_);
  BlobStoreUsage usage = usage_;
  if (full_until_ != absl::InfinitePast() && absl::Now() < full_until_ &&
      (usage.capacity_bytes == 0 || full_at_ < usage.capacity_bytes)) {
    usage.capacity_bytes = std::max<uint64_t>(full_at_, 1);
  }
  return usage;
}

uint64_t LocalBlobStore::FootprintOf(const BlobId& id, const Blob& blob) const {
  local::RecordLocation location;
  location.data_size = blob.data.size();
  location.attributes = blob.attributes;
  return local::Footprint(local::KeyOf(id).size(), location);
}

}  // namespace kvstore
