#include "KVService/platform/file.h"

#include <spdlog/fmt/fmt.h>

#include "KVCommon/status_macros.h"

namespace kvstore {

absl::StatusOr<std::string> ReadSmallFile(FileSystem* files, const std::string& path,
                                          size_t max_size) {
  KV_ASSIGN_OR_RETURN(auto file, files->Open(path, FileMode::kReadWrite));
  KV_ASSIGN_OR_RETURN(const File::Extent extent, file->Size());
  if (extent.size > max_size) {
    return absl::DataLossError(
        fmt::format("{} has {} bytes, more than {}", path, extent.size, max_size));
  }
  std::string content(extent.size, '\0');
  KV_RETURN_IF_ERROR(file->ReadAt(0, std::as_writable_bytes(std::span(content))));
  return content;
}

absl::Status WriteSmallFile(FileSystem* files, const std::string& directory,
                            const std::string& name, std::string_view content) {
  const std::string path = directory + "/" + name;
  const std::string temporary = path + ".tmp";
  // What an earlier attempt left.
  if (absl::Status removed = files->Remove(temporary);
      !removed.ok() && !absl::IsNotFound(removed)) {
    return removed;
  }
  KV_ASSIGN_OR_RETURN(auto file, files->Open(temporary, FileMode::kCreate));
  const ByteView parts[] = {AsBytes(content)};
  KV_RETURN_IF_ERROR(file->WriteAt(0, parts));
  KV_RETURN_IF_ERROR(file->DataSync());
  KV_RETURN_IF_ERROR(files->Rename(temporary, path));
  return files->SyncDirectory(directory);
}

}  // namespace kvstore
