#include "KVService/storage/local/local_blob_store.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <array>
#include <utility>

#include "KVCommon/status_macros.h"
#include "KVService/storage/local/committer.h"
#include "KVService/storage/local/metadata.h"
#include "KVService/storage/local/record.h"
#include "KVService/storage/local/recovery.h"
#include "KVService/storage/local/segments.h"
#include "absl/time/clock.h"

namespace kvstore {

using local::CommitOutcome;
using local::CommitResult;
using local::RecordLocation;

struct LocalBlobStore::Op {
  enum class Kind { kPut, kDelete };

  Kind kind;
  std::string key;
  Blob blob;
  absl::Time deadline = absl::InfiniteFuture();
  absl::AnyInvocable<void(absl::Status) &&> done;

  // Known once it runs.
  std::shared_ptr<local::Segment> segment;
  RecordLocation location;
  uint64_t footprint = 0;
};

namespace {

constexpr std::string_view kFormat = "kvstore-local 1\n";

// The contract's codes: what the file system or RocksDB calls it is of no use to the caller.
absl::Status AsDeviceError(const absl::Status& status) {
  if (status.ok() || absl::IsResourceExhausted(status)) return status;
  return absl::UnavailableError(std::string(status.message()));
}

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
  segment_options.direct_reads = options_.direct_reads;
  segment_options.sync_directory = options_.durability != Durability::kNone;
  segments_ = std::make_unique<local::SegmentSet>(segment_options, found.next_segment);
  for (auto& [segment, records] : found.segments) {
    segments_->AddSealed(std::move(segment), records);
  }
  {
    absl::MutexLock lock(&mutex_);
    usage_ = {found.records, found.bytes, options_.capacity_bytes};
  }
  if (options_.durability == Durability::kBatch) {
    committer_ = std::make_unique<local::Committer>(metadata_.get());
  }
  readers_ = std::make_unique<ThreadPool>("kv-read", options_.read_threads, options_.max_pending);
  writers_ =
      std::make_unique<ThreadPool>("kv-write", options_.write_threads, 2 * options_.max_pending);
  recovery_ = {found.records, found.bytes, found.tail_bytes_cut, found.dangling_dropped,
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
         (committer_ && committer_->OnCommitterThread());
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
  if (readers_) readers_->Shutdown();
  if (committer_) committer_->Stop();
  if (segments_) close_status_.Update(segments_->Close());
  if (metadata_) close_status_.Update(metadata_->Sync());
  segments_.reset();
  metadata_.reset();
  directory_lock_.reset();
  return close_status_;
}

absl::Status LocalBlobStore::Admit(size_t limit, uint64_t put_bytes) {
  if (closed_) {
    return absl::UnavailableError(fmt::format("local store {} is closed", options_.directory));
  }
  if (pending_ >= limit ||
      (pending_put_bytes_ > 0 && pending_put_bytes_ + put_bytes > options_.max_pending_put_bytes)) {
    return absl::ResourceExhaustedError(
        fmt::format("local store {}: {} operations, {} bytes of puts pending", options_.directory,
                    pending_, pending_put_bytes_));
  }
  ++pending_;
  pending_put_bytes_ += put_bytes;
  return absl::OkStatus();
}

void LocalBlobStore::Put(BlobId id, Blob blob, absl::Time deadline,
                         absl::AnyInvocable<void(absl::Status) &&> done) {
  absl::Status status = local::CheckId(id);
  if (blob.data.empty()) status.Update(absl::InvalidArgumentError("blob without data"));
  if (blob.attributes.size() > kMaxBlobAttributes) {
    status.Update(absl::InvalidArgumentError(
        fmt::format("blob with {} bytes of attributes", blob.attributes.size())));
  }
  if (!status.ok()) return std::move(done)(std::move(status));
  auto op = std::make_unique<Op>();
  op->kind = Op::Kind::kPut;
  op->key = local::KeyOf(id);
  op->blob = std::move(blob);
  op->deadline = deadline;
  op->done = std::move(done);
  Enqueue(std::move(op));
}

void LocalBlobStore::Delete(BlobId id, absl::AnyInvocable<void(absl::Status) &&> done) {
  if (absl::Status status = local::CheckId(id); !status.ok()) {
    return std::move(done)(std::move(status));
  }
  auto op = std::make_unique<Op>();
  op->kind = Op::Kind::kDelete;
  op->key = local::KeyOf(id);
  op->done = std::move(done);
  Enqueue(std::move(op));
}

void LocalBlobStore::Enqueue(std::unique_ptr<Op> op) {
  absl::Status refused;
  {
    absl::MutexLock lock(&mutex_);
    // A Delete makes room: what is waiting must not keep it out.
    const size_t limit = options_.max_pending * (op->kind == Op::Kind::kDelete ? 2 : 1);
    refused = Admit(limit, op->blob.data.size());
    if (refused.ok()) {
      const auto [busy, free] = busy_.try_emplace(op->key);
      if (free) return Submit(std::move(op));
      // Whether this one finds the name taken is only known when the other is done.
      busy->second.push_back(std::move(op));
      return;
    }
  }
  std::move(op->done)(std::move(refused));
}

void LocalBlobStore::Submit(std::unique_ptr<Op> op) {
  // Cannot be full: its queue is as long as the count that Admit bounds.
  KV_CHECK(writers_->TrySubmit([this, op = std::move(op)]() mutable { Run(std::move(op)); }));
}

void LocalBlobStore::Run(std::unique_ptr<Op> op) {
  if (op->deadline <= absl::Now()) {
    return Finish(std::move(op), absl::DeadlineExceededError("put: deadline passed in the queue"));
  }
  return op->kind == Op::Kind::kPut ? RunPut(std::move(op)) : RunDelete(std::move(op));
}

void LocalBlobStore::RunPut(std::unique_ptr<Op> op) {
  const absl::StatusOr<RecordLocation> existing = metadata_->Get(op->key);
  if (existing.ok()) {
    return Finish(std::move(op), absl::Status(absl::StatusCode::kAlreadyExists, ""));
  }
  absl::Status status = existing.status();
  if (absl::IsNotFound(status)) status = WritePayload(*op);
  if (!status.ok()) return Finish(std::move(op), AsDeviceError(status));
  CommitOp(std::move(op));
}

void LocalBlobStore::RunDelete(std::unique_ptr<Op> op) {
  absl::StatusOr<RecordLocation> existing = metadata_->Get(op->key);
  if (!existing.ok()) {
    const bool missing = absl::IsNotFound(existing.status());
    return Finish(std::move(op), missing ? existing.status() : AsDeviceError(existing.status()));
  }
  op->location = *std::move(existing);
  op->footprint = local::Footprint(op->key.size(), op->location);
  CommitOp(std::move(op));
}

absl::Status LocalBlobStore::WritePayload(Op& op) {
  op.location.data_size = op.blob.data.size();
  op.location.crc32c = op.blob.crc32c;
  op.location.attributes = op.blob.attributes;
  op.footprint = local::Footprint(op.key.size(), op.location);
  {
    absl::MutexLock lock(&mutex_);
    const uint64_t needed = usage_.used_bytes + reserved_bytes_ + op.footprint;
    if (options_.capacity_bytes != 0 && needed > options_.capacity_bytes) {
      return absl::ResourceExhaustedError(
          fmt::format("local store {}: {} bytes would exceed its capacity of {}",
                      options_.directory, needed, options_.capacity_bytes));
    }
    reserved_bytes_ += op.footprint;
  }
  absl::StatusOr<local::SegmentSet::Place> place = segments_->Reserve(op.footprint);
  absl::Status status = place.status();
  if (place.ok()) {
    op.segment = std::move(place->segment);
    op.location.segment = op.segment->id();
    op.location.offset = place->offset;
    const std::string head = local::EncodeRecordHead(op.key, op.location);
    // The padding too, or its page would have to be read before it is written.
    static constexpr std::array<std::byte, local::kRecordAlignment> kZeros{};
    const uint64_t padding = op.footprint - local::RecordSize(op.key.size(), op.location);
    const ByteView parts[] = {AsBytes(head), op.blob.data.bytes(), ByteView(kZeros).first(padding)};
    status = op.segment->Write(op.location.offset, parts);
    if (status.ok()) return status;
    if (!absl::IsResourceExhausted(status)) segments_->Seal(op.location.segment);
    segments_->Free(op.location.segment, op.location.offset, op.footprint);
  }
  absl::MutexLock lock(&mutex_);
  reserved_bytes_ -= op.footprint;
  return status;
}

void LocalBlobStore::CommitOp(std::unique_ptr<Op> op) {
  const bool is_put = op->kind == Op::Kind::kPut;
  local::Commit commit;
  commit.key = &op->key;
  commit.location = is_put ? &op->location : nullptr;
  commit.segment = op->segment.get();
  commit.done = [this, is_put, op = std::move(op)](CommitResult result) mutable {
    is_put ? PutCommitted(std::move(op), std::move(result))
           : DeleteCommitted(std::move(op), std::move(result));
  };
  if (committer_) return committer_->Add(std::move(commit));
  local::CommitTogether({&commit, 1}, metadata_.get(), options_.durability == Durability::kEach);
}

void LocalBlobStore::PutCommitted(std::unique_ptr<Op> op, CommitResult result) {
  if (result.outcome == CommitOutcome::kPayloadLost) {
    segments_->Seal(op->location.segment);
    segments_->Free(op->location.segment, op->location.offset, op->footprint);
  }
  {
    absl::MutexLock lock(&mutex_);
    reserved_bytes_ -= op->footprint;
    if (result.status.ok()) {
      usage_.used_bytes += op->footprint;
      ++usage_.blobs;
    }
  }
  Finish(std::move(op), AsDeviceError(result.status));
}

void LocalBlobStore::DeleteCommitted(std::unique_ptr<Op> op, CommitResult result) {
  if (!result.status.ok()) return Finish(std::move(op), AsDeviceError(result.status));
  {
    absl::MutexLock lock(&mutex_);
    usage_.used_bytes -= op->footprint;
    --usage_.blobs;
    if (committer_) {
      // Punching takes its time, and the committer has puts to commit.
      KV_CHECK(writers_->TrySubmit([this, op = std::move(op)]() mutable {
        segments_->Free(op->location.segment, op->location.offset, op->footprint);
        Finish(std::move(op), absl::OkStatus());
      }));
      return;
    }
  }
  segments_->Free(op->location.segment, op->location.offset, op->footprint);
  Finish(std::move(op), absl::OkStatus());
}

void LocalBlobStore::Finish(std::unique_ptr<Op> op, absl::Status status) {
  auto done = std::move(op->done);
  {
    absl::MutexLock lock(&mutex_);
    const auto busy = busy_.find(op->key);
    if (busy->second.empty()) {
      busy_.erase(busy);
    } else {
      std::unique_ptr<Op> next = std::move(busy->second.front());
      busy->second.pop_front();
      Submit(std::move(next));
    }
    --pending_;
    pending_put_bytes_ -= op->blob.data.size();
  }
  op.reset();
  std::move(done)(std::move(status));
}

void LocalBlobStore::Get(BlobId id, absl::Time deadline,
                         absl::AnyInvocable<void(absl::StatusOr<Blob>) &&> done) {
  absl::Status refused = local::CheckId(id);
  if (refused.ok()) {
    absl::MutexLock lock(&mutex_);
    refused = Admit(options_.max_pending, 0);
  }
  if (!refused.ok()) return std::move(done)(std::move(refused));
  // As for Submit.
  KV_CHECK(readers_->TrySubmit([this, key = local::KeyOf(id), deadline,
                                done = std::move(done)]() mutable {
    absl::StatusOr<Blob> blob = deadline <= absl::Now()
                                    ? absl::DeadlineExceededError("get: deadline passed in queue")
                                    : Read(key);
    {
      absl::MutexLock lock(&mutex_);
      --pending_;
    }
    std::move(done)(std::move(blob));
  }));
}

absl::StatusOr<Blob> LocalBlobStore::Read(const std::string& key) {
  const absl::StatusOr<RecordLocation> location = metadata_->Get(key);
  if (!location.ok()) {
    // A value that cannot be understood is data that is lost; the rest is the device's.
    if (absl::IsNotFound(location.status()) || absl::IsDataLoss(location.status())) {
      return location.status();
    }
    return AsDeviceError(location.status());
  }
  absl::StatusOr<Blob> blob = ReadAt(key, *location);
  if (blob.ok() || !absl::IsDataLoss(blob.status())) return blob;
  // A Delete may have freed the space under us, and then this is no damage.
  const absl::StatusOr<RecordLocation> now = metadata_->Get(key);
  if (absl::IsNotFound(now.status()) || (now.ok() && *now != *location)) {
    return absl::Status(absl::StatusCode::kNotFound, "");
  }
  return blob;
}

absl::StatusOr<Blob> LocalBlobStore::ReadAt(const std::string& key,
                                            const RecordLocation& location) {
  const std::shared_ptr<local::Segment> segment = segments_->Find(location.segment);
  if (segment == nullptr) {
    return absl::DataLossError(fmt::format("segment {} is gone", location.segment));
  }
  const uint64_t size = options_.direct_reads ? local::Footprint(key.size(), location)
                                              : local::RecordSize(key.size(), location);
  Buffer buffer =
      options_.direct_reads ? Buffer::AllocateForDirectIo(size) : Buffer::Allocate(size);
  const absl::Status status = segments_->Read(*segment, location.offset, buffer.bytes());
  if (!status.ok() && !absl::IsOutOfRange(status)) return AsDeviceError(status);
  absl::StatusOr<Blob> blob = status.ok()
                                  ? local::DecodeRecord(key, location, std::move(buffer).Freeze())
                                  : absl::DataLossError("the segment ends before the record does");
  if (blob.ok()) return blob;
  return absl::DataLossError(fmt::format("{} at {}: {}", segment->path(), location.offset,
                                         std::string(blob.status().message())));
}

absl::Status LocalBlobStore::List(const std::function<void(BlobInfo)>& visit) {
  {
    absl::MutexLock lock(&mutex_);
    if (closed_) return Admit(0, 0);
    // Close waits for it; the limit is not for it, since it takes no place in a queue.
    ++pending_;
  }
  const absl::Status status = metadata_->ForEach(
      [&visit](std::string_view key, const absl::StatusOr<RecordLocation>& location) {
        absl::StatusOr<BlobId> id = local::IdOf(key);
        if (!id.ok() || !location.ok()) return;
        visit({*std::move(id), location->data_size, local::Footprint(key.size(), *location),
               location->attributes});
      });
  absl::MutexLock lock(&mutex_);
  --pending_;
  return AsDeviceError(status);
}

BlobStoreUsage LocalBlobStore::Usage() const {
  absl::MutexLock lock(&mutex_);
  return usage_;
}

uint64_t LocalBlobStore::FootprintOf(const BlobId& id, const Blob& blob) const {
  RecordLocation location;
  location.data_size = blob.data.size();
  location.attributes = blob.attributes;
  return local::Footprint(local::KeyOf(id).size(), location);
}

}  // namespace kvstore
