#include "KVService/storage/local/recovery.h"

#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <map>
#include <set>

#include "KVCommon/status_macros.h"

namespace kvstore::local {
namespace {

struct Range {
  uint64_t offset;
  uint64_t size;
  uint64_t end() const { return offset + size; }
  bool operator<(const Range& other) const { return offset < other.offset; }
};

struct Found {
  std::shared_ptr<Segment> segment;
  File::Extent extent;
  std::vector<Range> records;
};

class Recovery {
 public:
  Recovery(FileSystem* files, std::string directory, Metadata* metadata,
           std::optional<uint64_t> expected, bool* all_read)
      : files_(files),
        directory_(std::move(directory)),
        metadata_(metadata),
        expected_(expected),
        all_read_(all_read) {}

  absl::StatusOr<Recovered> Run() {
    KV_RETURN_IF_ERROR(OpenSegments());
    KV_RETURN_IF_ERROR(MatchMetadata());
    KV_RETURN_IF_ERROR(DropOverlaps());
    KV_RETURN_IF_ERROR(DropDangling());
    for (auto& [id, found] : found_) KV_RETURN_IF_ERROR(Settle(found));
    return std::move(result_);
  }

 private:
  absl::Status OpenSegments() {
    KV_ASSIGN_OR_RETURN(const std::vector<std::string> names, files_->ListDirectory(directory_));
    for (const std::string& name : names) {
      const std::optional<uint32_t> id = ParseSegmentFileName(name);
      if (!id) continue;
      const std::string path = directory_ + "/" + name;
      KV_ASSIGN_OR_RETURN(auto file, files_->Open(path, FileMode::kReadWrite));
      KV_ASSIGN_OR_RETURN(const File::Extent extent, file->Size());
      found_[*id] = {std::make_shared<Segment>(*id, path, std::move(file)), extent, {}};
      result_.next_segment = std::max(result_.next_segment, *id + 1);
    }
    return absl::OkStatus();
  }

  absl::Status MatchMetadata() {
    uint64_t entries = 0;
    KV_RETURN_IF_ERROR(metadata_->ForEach(
        "", [&](std::string_view key, const absl::StatusOr<RecordLocation>& location) {
          ++entries;
          const auto found = location.ok() ? found_.find(location->segment) : found_.end();
          if (location.ok()) {
            result_.next_segment = std::max(result_.next_segment, location->segment + 1);
          }
          if (found == found_.end()) {
            dangling_.emplace_back(key);
            return true;
          }
          const Range range{location->offset, Footprint(key.size(), *location)};
          if (range.end() > found->second.extent.size) {
            dangling_.emplace_back(key);
          } else {
            found->second.records.push_back(range);
          }
          return true;
        }));
    *all_read_ = true;
    if (entries == expected_.value_or(entries)) return absl::OkStatus();
    return absl::DataLossError(
        fmt::format("the metadata names {} records; it was closed with {}", entries, *expected_));
  }

  // Two records at one place cannot both be right, and freeing one would tear the other. It takes
  // durability `none` and a power failure to get here; the second of them becomes a miss.
  absl::Status DropOverlaps() {
    std::set<std::pair<uint32_t, uint64_t>> starts;
    for (auto& [id, found] : found_) {
      std::sort(found.records.begin(), found.records.end());
      uint64_t end = 0;
      std::erase_if(found.records, [&, id = id](const Range& range) {
        if (range.offset < end) {
          starts.emplace(id, range.offset);
          return true;
        }
        end = range.end();
        return false;
      });
    }
    if (starts.empty()) return absl::OkStatus();
    // Of records with the same start the metadata's order does not say which was kept: drop all.
    for (auto& [id, found] : found_) {
      std::erase_if(found.records, [&, id = id](const Range& r) {
        return starts.contains({id, r.offset});
      });
    }
    return metadata_->ForEach(
        "", [&](std::string_view key, const absl::StatusOr<RecordLocation>& location) {
          if (location.ok() && starts.contains({location->segment, location->offset})) {
            dangling_.emplace_back(key);
          }
          return true;
        });
  }

  // Before any file changes: were it the other way round, a crash between would leave metadata
  // that a later segment could seem to fulfil.
  absl::Status DropDangling() {
    if (dangling_.empty()) return absl::OkStatus();
    std::vector<MetadataChange> changes;
    for (const std::string& key : dangling_) changes.push_back({&key, nullptr});
    KV_RETURN_IF_ERROR(metadata_->Apply(changes, /*sync=*/true));
    result_.dangling_dropped = std::move(dangling_);
    return absl::OkStatus();
  }

  absl::Status Settle(Found& found) {
    if (found.records.empty()) {
      result_.tail_bytes_cut += found.extent.size;
      return files_->Remove(found.segment->path());
    }
    uint64_t live = 0;
    for (const Range& range : found.records) live += range.size;
    const uint64_t end = found.records.back().end();
    File& file = found.segment->file();
    if (found.extent.size > end) {
      result_.tail_bytes_cut += found.extent.size - end;
      KV_RETURN_IF_ERROR(file.Truncate(end));
      KV_ASSIGN_OR_RETURN(found.extent, file.Size());
    }
    // Usually deletes have punched every gap already and there is nothing to do.
    if (found.extent.allocated_bytes > live) PunchGaps(found);
    result_.records += found.records.size();
    result_.bytes += live;
    result_.segments.emplace_back(found.segment, found.records.size());
    return absl::OkStatus();
  }

  void PunchGaps(const Found& found) {
    uint64_t position = 0;
    for (const Range& range : found.records) {
      if (range.offset > position) {
        const absl::Status status =
            found.segment->file().PunchHole(position, range.offset - position);
        // Costs space, not correctness.
        if (absl::IsUnimplemented(status)) return;
        if (!status.ok()) spdlog::warn("local store: {}", status.ToString());
      }
      position = range.end();
    }
  }

  FileSystem* const files_;
  const std::string directory_;
  Metadata* const metadata_;
  const std::optional<uint64_t> expected_;
  bool* const all_read_;
  std::map<uint32_t, Found> found_;
  std::vector<std::string> dangling_;
  Recovered result_;
};

}  // namespace

absl::StatusOr<Recovered> Recover(FileSystem* files, const std::string& segments_directory,
                                  Metadata* metadata, std::optional<uint64_t> expected,
                                  bool* all_read) {
  return Recovery(files, segments_directory, metadata, expected, all_read).Run();
}

}  // namespace kvstore::local
