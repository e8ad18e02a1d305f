#include "KVService/storage/local/segments.h"

#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>
#include <utility>
#include <vector>

#include "KVCommon/status_macros.h"

namespace kvstore::local {
namespace {

constexpr std::string_view kSuffix = ".seg";

void WarnUnlessOk(const absl::Status& status) {
  if (!status.ok()) spdlog::warn("local store: {}", status.ToString());
}

}  // namespace

std::string SegmentFileName(uint32_t id) { return fmt::format("{:06}{}", id, kSuffix); }

std::optional<uint32_t> ParseSegmentFileName(std::string_view name) {
  if (!name.ends_with(kSuffix)) return std::nullopt;
  uint32_t id = 0;
  const char* const end = name.data() + name.size() - kSuffix.size();
  const auto [stop, error] = std::from_chars(name.data(), end, id);
  if (error != std::errc() || stop != end || SegmentFileName(id) != name) return std::nullopt;
  return id;
}

Segment::Segment(uint32_t id, std::string path, std::unique_ptr<File> file)
    : id_(id), path_(std::move(path)), file_(std::move(file)) {}

absl::Status Segment::Write(uint64_t offset, std::span<const ByteView> parts) {
  absl::Status status = file_->WriteAt(offset, parts);
  dirty_ = true;
  return status;
}

File& Segment::DirectFile(FileSystem* files) {
  absl::MutexLock lock(&direct_mutex_);
  if (!direct_tried_) {
    direct_tried_ = true;
    auto file = files->Open(path_, FileMode::kReadDirect);
    if (file.ok()) direct_file_ = *std::move(file);
  }
  return direct_file_ ? *direct_file_ : *file_;
}

absl::Status Segment::Sync() {
  absl::MutexLock lock(&sync_mutex_);
  if (!sync_status_.ok()) return sync_status_;
  if (!dirty_.exchange(false)) return absl::OkStatus();
  sync_status_ = file_->DataSync();
  return sync_status_;
}

SegmentSet::SegmentSet(Options options, uint32_t next_id)
    : options_(std::move(options)), next_id_(next_id) {}

void SegmentSet::AddSealed(std::shared_ptr<Segment> segment, uint64_t records) {
  absl::MutexLock lock(&mutex_);
  const uint32_t id = segment->id();
  Entry& entry = entries_[id];
  entry.segment = std::move(segment);
  entry.records = records;
  entry.sealed = true;
}

absl::StatusOr<SegmentSet::Place> SegmentSet::Reserve(uint64_t footprint) {
  if (auto place = Recycle(footprint)) return *std::move(place);
  absl::MutexLock grow(&grow_mutex_);
  if (active_ != 0) {
    absl::MutexLock lock(&mutex_);
    Entry& entry = entries_.at(active_);
    if (entry.size - entry.end >= footprint) {
      Place place{entry.segment, entry.end};
      entry.end += footprint;
      ++entry.records;
      return place;
    }
  }
  uint64_t size = 0;
  KV_ASSIGN_OR_RETURN(std::shared_ptr<Segment> segment, CreateFor(footprint, &size));
  const bool own = size == footprint;
  const uint32_t full = own ? 0 : std::exchange(active_, segment->id());
  {
    absl::MutexLock lock(&mutex_);
    entries_[segment->id()] = {segment, footprint, size, 1, own};
  }
  if (full != 0) SealAndTrim(full);
  return Place{std::move(segment), 0};
}

std::optional<SegmentSet::Place> SegmentSet::Recycle(uint64_t footprint) {
  absl::MutexLock lock(&mutex_);
  const std::optional<FreeExtent> extent = free_.Take(footprint);
  if (!extent) return std::nullopt;
  const std::shared_ptr<Segment>& segment = entries_.at(extent->segment).segment;
  segment->CountReuse();
  return Place{segment, extent->offset};
}

absl::StatusOr<std::shared_ptr<Segment>> SegmentSet::CreateFor(uint64_t footprint, uint64_t* size) {
  *size = std::max(footprint, options_.segment_bytes);
  absl::StatusOr<std::shared_ptr<Segment>> created = Create(*size);
  if (!absl::IsResourceExhausted(created.status())) return created;
  // What is kept for reuse has the wrong sizes; the disk may have room for it without.
  DiscardBeyond(0);
  created = Create(*size);
  if (!absl::IsResourceExhausted(created.status()) || *size == footprint) return created;
  // Or for the record itself.
  *size = footprint;
  return Create(*size);
}

absl::StatusOr<std::shared_ptr<Segment>> SegmentSet::Create(uint64_t size) {
  const uint32_t id = next_id_++;
  std::string path = options_.directory + "/" + SegmentFileName(id);
  KV_ASSIGN_OR_RETURN(auto file, options_.files->Open(path, FileMode::kCreate));
  absl::Status status = file->Preallocate(size);
  if (status.ok() && options_.sync_directory) {
    status = options_.files->SyncDirectory(options_.directory);
  }
  if (!status.ok()) {
    WarnUnlessOk(options_.files->Remove(path));
    return status;
  }
  return std::make_shared<Segment>(id, std::move(path), std::move(file));
}

void SegmentSet::SealAndTrim(uint32_t id) {
  std::shared_ptr<Segment> segment;
  uint64_t end = 0;
  bool last = false;
  {
    absl::MutexLock lock(&mutex_);
    const auto it = entries_.find(id);
    if (it == entries_.end() || it->second.sealed) return;
    it->second.sealed = true;
    segment = it->second.segment;
    end = it->second.end;
    last = it->second.records == 0;
    if (last) entries_.erase(it);
  }
  if (last) return Delete(*segment);
  // Returns what was preallocated and not used. Records still being written lie below `end`.
  WarnUnlessOk(segment->file().Truncate(end));
}

void SegmentSet::Free(const FreeExtent& extent) {
  {
    absl::MutexLock lock(&mutex_);
    const auto it = entries_.find(extent.segment);
    KV_CHECK(it != entries_.end() && it->second.records > 0);
    if (!it->second.failed) {
      free_.Add(extent);
      if (!options_.settle_freed) free_.Settle(free_.added());
      return;
    }
  }
  Discard(extent);
}

void SegmentSet::Discard(const FreeExtent& extent) {
  std::shared_ptr<Segment> segment;
  bool last = false;
  {
    absl::MutexLock lock(&mutex_);
    const auto it = entries_.find(extent.segment);
    KV_CHECK(it != entries_.end() && it->second.records > 0);
    segment = it->second.segment;
    last = --it->second.records == 0 && it->second.sealed;
    if (last) entries_.erase(it);
  }
  if (last) return Delete(*segment);
  if (holes_refused_.load(std::memory_order_relaxed)) return;
  const absl::Status status = segment->file().PunchHole(extent.offset, extent.size);
  if (absl::IsUnimplemented(status)) {
    if (holes_refused_.exchange(true)) return;
    spdlog::warn("local store: {}; space comes back only when a whole segment is empty",
                 status.ToString());
  } else {
    WarnUnlessOk(status);
  }
}

uint64_t SegmentSet::Freed() const {
  absl::MutexLock lock(&mutex_);
  return free_.added();
}

void SegmentSet::Settle(uint64_t freed) {
  absl::MutexLock lock(&mutex_);
  free_.Settle(freed);
}

bool SegmentSet::HasUnsettled() const {
  absl::MutexLock lock(&mutex_);
  return free_.waiting_bytes() > 0;
}

bool SegmentSet::SettleIsDue() const {
  absl::MutexLock lock(&mutex_);
  return free_.waiting_bytes() > options_.recycle_bytes;
}

void SegmentSet::DiscardBeyond(uint64_t most_bytes) {
  std::vector<FreeExtent> extents;
  {
    absl::MutexLock lock(&mutex_);
    extents = free_.TakeBeyond(most_bytes);
  }
  for (const FreeExtent& extent : extents) Discard(extent);
}

void SegmentSet::DiscardFreed() {
  Settle(Freed());
  DiscardBeyond(0);
}

void SegmentSet::Delete(const Segment& segment) {
  WarnUnlessOk(options_.files->Remove(segment.path()));
}

void SegmentSet::Seal(uint32_t id) {
  absl::MutexLock grow(&grow_mutex_);
  if (active_ == id) active_ = 0;
  SealAndTrim(id);
  std::vector<FreeExtent> extents;
  {
    absl::MutexLock lock(&mutex_);
    if (const auto it = entries_.find(id); it != entries_.end()) it->second.failed = true;
    extents = free_.TakeSegment(id);
  }
  for (const FreeExtent& extent : extents) Discard(extent);
}

std::shared_ptr<Segment> SegmentSet::Find(uint32_t id) const {
  absl::MutexLock lock(&mutex_);
  const auto it = entries_.find(id);
  return it == entries_.end() ? nullptr : it->second.segment;
}

std::vector<std::shared_ptr<Segment>> SegmentSet::First(size_t most) const {
  absl::MutexLock lock(&mutex_);
  std::vector<std::shared_ptr<Segment>> first;
  for (const auto& [id, entry] : entries_) {
    if (first.size() == most) break;
    first.push_back(entry.segment);
  }
  return first;
}

absl::Status SegmentSet::Close() {
  absl::MutexLock grow(&grow_mutex_);
  if (active_ != 0) SealAndTrim(std::exchange(active_, 0));
  std::vector<std::shared_ptr<Segment>> segments;
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& [id, entry] : entries_) segments.push_back(entry.segment);
  }
  absl::Status status;
  for (const auto& segment : segments) status.Update(segment->Sync());
  return status;
}

}  // namespace kvstore::local
