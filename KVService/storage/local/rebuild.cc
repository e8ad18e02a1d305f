#include "KVService/storage/local/rebuild.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "KVCommon/status_macros.h"
#include "KVService/storage/local/segments.h"
#include "absl/container/flat_hash_set.h"

namespace kvstore::local {
namespace {

constexpr uint64_t kReadBytes = 256 << 10;  // at a time, over space that holds nothing

absl::StatusOr<bool> Has(FileSystem* files, const std::string& directory, std::string_view name) {
  const auto names = files->ListDirectory(directory);
  if (absl::IsNotFound(names.status())) return false;
  KV_RETURN_IF_ERROR(names.status());
  return std::find(names->begin(), names->end(), name) != names->end();
}

bool AllZeros(std::string_view bytes) {
  return bytes.find_first_not_of('\0') == std::string_view::npos;
}

// The records of one segment file, one behind the other. Payloads are stepped over and never looked
// into: what is in them is their writers', who may have put something there that looks like ours.
class SegmentWalk {
 public:
  SegmentWalk(uint32_t id, File* file, uint64_t size)
      : id_(id), file_(file), size_(size), bytes_(kReadBytes, '\0') {}

  // The next record; nothing at the end. DATA_LOSS where bytes are no record: how long they are
  // nobody knows, so the walk ends. Errors of the device end it too.
  absl::StatusOr<std::optional<RecordHead>> Next() {
    while (position_ + kRecordAlignment <= size_) {
      if (position_ < begin_ || position_ + kRecordAlignment > end_) KV_RETURN_IF_ERROR(Fill());
      const std::string_view page =
          std::string_view(bytes_).substr(position_ - begin_, kRecordAlignment);
      if (AllZeros(page)) {
        position_ += kRecordAlignment;
        continue;
      }
      KV_ASSIGN_OR_RETURN(RecordHead head, ParseRecordHead(page, id_, position_));
      const uint64_t footprint = Footprint(head.key.size(), head.location);
      if (position_ + footprint > size_) return absl::DataLossError("the last record is cut short");
      position_ += footprint;
      small_ = true;
      return std::optional<RecordHead>(std::move(head));
    }
    return std::optional<RecordHead>();
  }

  uint64_t position() const { return position_; }

 private:
  absl::Status Fill() {
    // A head, where the last step went over a record; more where there was nothing.
    const uint64_t most = std::exchange(small_, false) ? kRecordAlignment : kReadBytes;
    const uint64_t whole = size_ & ~(kRecordAlignment - 1);
    begin_ = position_;
    end_ = std::min(position_ + most, whole);
    return file_->ReadAt(begin_, std::as_writable_bytes(std::span(bytes_)).first(end_ - begin_));
  }

  const uint32_t id_;
  File* const file_;
  const uint64_t size_;
  std::string bytes_;
  uint64_t position_ = 0;
  uint64_t begin_ = 0, end_ = 0;  // what bytes_ has
  bool small_ = false;
};

class Rebuilding {
 public:
  Rebuilding(FileSystem* files, const std::string& directory, Metadata* damaged, Metadata* fresh,
             const std::function<bool(const BlobInfo&)>& may_return)
      : files_(files),
        directory_(directory + kSegmentsFolder),
        damaged_(damaged),
        fresh_(fresh),
        may_return_(may_return) {}

  absl::StatusOr<Rebuilt> Run() {
    KV_ASSIGN_OR_RETURN(std::vector<std::string> names, files_->ListDirectory(directory_));
    for (const std::string& name : names) {
      const std::optional<uint32_t> id = ParseSegmentFileName(name);
      if (id) KV_RETURN_IF_ERROR(TakeSegment(*id, directory_ + "/" + name));
    }
    if (result_.segments_cut_short > 0 && may_return_) KV_RETURN_IF_ERROR(DropDoubtful());
    KV_RETURN_IF_ERROR(fresh_->Sync());
    return std::move(result_);
  }

 private:
  absl::Status TakeSegment(uint32_t id, const std::string& path) {
    KV_ASSIGN_OR_RETURN(const auto file, files_->Open(path, FileMode::kReadWrite));
    KV_ASSIGN_OR_RETURN(const File::Extent extent, file->Size());
    SegmentWalk walk(id, file.get(), extent.size);
    for (;;) {
      absl::StatusOr<std::optional<RecordHead>> head = walk.Next();
      if (!head.ok()) {
        ++result_.segments_cut_short;
        spdlog::error(
            "segment not understood, the rest of it is dropped path={} offset={} "
            "size={} error=\"{}\"",
            path, walk.position(), extent.size, std::string(head.status().message()));
        return absl::OkStatus();
      }
      if (!head->has_value()) return absl::OkStatus();
      KV_RETURN_IF_ERROR(TakeRecord(**head));
    }
  }

  absl::Status TakeRecord(const RecordHead& head) {
    if (damaged_ != nullptr) {
      const absl::StatusOr<RecordLocation> known = damaged_->Get(head.key);
      if (absl::IsNotFound(known.status())) return absl::OkStatus();  // deleted
      if (known.ok()) return *known == head.location ? Add(head) : absl::OkStatus();
    }
    if (ambiguous_.contains(head.key)) return absl::OkStatus();
    const absl::StatusOr<RecordLocation> other = fresh_->Get(head.key);
    if (other.ok()) {
      ambiguous_.insert(head.key);
      return Drop(head.key);
    }
    if (!absl::IsNotFound(other.status())) return other.status();
    if (MayReturn(head.key, head.location)) return Add(head);
    result_.lost.push_back(head.key);
    return absl::OkStatus();
  }

  bool MayReturn(std::string_view key, const RecordLocation& location) const {
    if (!may_return_) return true;
    absl::StatusOr<BlobId> id = IdOf(key);
    return id.ok() && may_return_({*std::move(id), location.data_size,
                                   Footprint(key.size(), location), location.attributes});
  }

  absl::Status DropDoubtful() {
    std::vector<std::string> doubtful;
    KV_RETURN_IF_ERROR(fresh_->ForEach(
        "", [&](std::string_view key, const absl::StatusOr<RecordLocation>& location) {
          if (!location.ok() || !MayReturn(key, *location)) doubtful.emplace_back(key);
          return true;
        }));
    for (const std::string& key : doubtful) KV_RETURN_IF_ERROR(Drop(key));
    return absl::OkStatus();
  }

  absl::Status Add(const RecordHead& head) {
    ++result_.records;
    const MetadataChange change{&head.key, &head.location};
    return fresh_->Apply({&change, 1}, /*sync=*/false);
  }

  absl::Status Drop(const std::string& key) {
    --result_.records;
    result_.lost.push_back(key);
    const MetadataChange change{&key, nullptr};
    return fresh_->Apply({&change, 1}, /*sync=*/false);
  }

  FileSystem* const files_;
  const std::string directory_;
  Metadata* const damaged_;
  Metadata* const fresh_;
  const std::function<bool(const BlobInfo&)>& may_return_;
  absl::flat_hash_set<std::string> ambiguous_;  // names that several records have
  Rebuilt result_;
};

}  // namespace

absl::StatusOr<Rebuilt> Rebuild(FileSystem* files, const std::string& directory,
                                std::unique_ptr<Metadata> damaged,
                                const std::function<bool(const BlobInfo&)>& may_return) {
  const std::string index = directory + kIndexFolder;
  const std::string fresh_index = directory + kNewIndexFolder;
  const std::string damaged_index = directory + kDamagedIndexFolder;
  KV_RETURN_IF_ERROR(files->RemoveTree(fresh_index));
  KV_ASSIGN_OR_RETURN(std::unique_ptr<Metadata> fresh, Metadata::Open(fresh_index));
  KV_ASSIGN_OR_RETURN(Rebuilt result,
                      Rebuilding(files, directory, damaged.get(), fresh.get(), may_return).Run());
  fresh.reset();
  damaged.reset();
  KV_RETURN_IF_ERROR(files->RemoveTree(damaged_index));
  const absl::Status moved = files->Rename(index, damaged_index);
  if (!moved.ok() && !absl::IsNotFound(moved)) return moved;
  KV_RETURN_IF_ERROR(files->Rename(fresh_index, index));
  KV_RETURN_IF_ERROR(files->SyncDirectory(directory));
  KV_ASSIGN_OR_RETURN(result.metadata, Metadata::Open(index));
  return result;
}

absl::Status PrepareIndex(FileSystem* files, const std::string& directory) {
  const std::string index = directory + kIndexFolder;
  // RocksDB takes a directory without this file for a new one, and would begin with nothing.
  KV_ASSIGN_OR_RETURN(bool is_database, Has(files, index, "CURRENT"));
  if (!is_database) {
    KV_ASSIGN_OR_RETURN(const bool there, Has(files, directory, "index"));
    KV_ASSIGN_OR_RETURN(const bool rebuilt, Has(files, directory + kNewIndexFolder, "CURRENT"));
    // The old database goes away only when the new one is whole.
    if (rebuilt && !there) {
      KV_RETURN_IF_ERROR(files->Rename(directory + kNewIndexFolder, index));
      is_database = true;
    }
  }
  KV_RETURN_IF_ERROR(files->RemoveTree(directory + kNewIndexFolder));
  KV_RETURN_IF_ERROR(files->CreateDirectory(index));
  if (is_database) return absl::OkStatus();
  KV_ASSIGN_OR_RETURN(const auto segments, files->ListDirectory(directory + kSegmentsFolder));
  for (const std::string& name : segments) {
    if (!ParseSegmentFileName(name)) continue;
    return absl::DataLossError("there are segments, and no metadata of them");
  }
  return absl::OkStatus();
}

}  // namespace kvstore::local
