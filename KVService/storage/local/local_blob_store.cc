#include "KVService/storage/local/local_blob_store.h"

#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "KVCommon/status_macros.h"
#include "KVService/storage/local/committer.h"
#include "KVService/storage/local/local_op.h"
#include "KVService/storage/local/metadata.h"
#include "KVService/storage/local/recovery.h"
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

// An unmarked directory that has our subdirectories is one whose mark was lost, or not ours: it is
// better left alone.
absl::Status CheckFormat(FileSystem* files, const std::string& directory) {
  const auto format = ReadSmallFile(files, directory + "/FORMAT", 256);
  if (format.ok()) {
    if (*format == kFormat) return absl::OkStatus();
    return absl::FailedPreconditionError(
        fmt::format("{}/FORMAT says '{}', which this version cannot read; it reads '{}'", directory,
                    format->substr(0, format->find('\n')), kFormat.substr(0, kFormat.size() - 1)));
  }
  if (!absl::IsNotFound(format.status())) return format.status();
  KV_ASSIGN_OR_RETURN(const std::vector<std::string> names, files->ListDirectory(directory));
  for (const std::string& name : names) {
    if (name != "index" && name != "segments") continue;
    return absl::FailedPreconditionError(fmt::format(
        "{} has a directory '{}' but no FORMAT file; choose an empty directory", directory, name));
  }
  return WriteSmallFile(files, directory, "FORMAT", kFormat);
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
  const std::string segments_directory = options_.directory + "/segments";
  const std::string index_directory = options_.directory + "/index";
  KV_RETURN_IF_ERROR(files->CreateDirectory(options_.directory));
  KV_ASSIGN_OR_RETURN(directory_lock_, files->LockDirectory(options_.directory));
  KV_RETURN_IF_ERROR(CheckFormat(files, options_.directory));
  KV_RETURN_IF_ERROR(files->CreateDirectory(segments_directory));
  KV_RETURN_IF_ERROR(files->CreateDirectory(index_directory));
  KV_RETURN_IF_ERROR(files->SyncDirectory(options_.directory));
  KV_ASSIGN_OR_RETURN(metadata_, local::Metadata::Open(index_directory));
  KV_ASSIGN_OR_RETURN(local::Recovered found,
                      local::Recover(files, segments_directory, metadata_.get()));

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
  recovery_ = {found.records, found.bytes, found.tail_bytes_cut, lost_.size(),
               absl::ToInt64Milliseconds(absl::Now() - begin)};
  return absl::OkStatus();
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
  segments_.reset();
  metadata_.reset();
  directory_lock_.reset();
  return close_status_;
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
