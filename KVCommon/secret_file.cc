#include "KVCommon/secret_file.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <system_error>

#include "KVCommon/status_macros.h"
#include "absl/strings/ascii.h"

namespace kvstore {

absl::StatusOr<std::string> ReadWholeFile(const std::string& path, size_t max_bytes) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    return absl::InvalidArgumentError(fmt::format("{} is a directory, not a file", path));
  }
  const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
  if (file == nullptr) {
    const int reason = errno;
    const std::string message = path + " cannot be read";
    if (reason == ENOENT || reason == EACCES) return absl::ErrnoToStatus(reason, message);
    return absl::UnavailableError(
        fmt::format("{}: {}", message, std::generic_category().message(reason)));
  }
  std::string content(max_bytes + 1, '\0');  // the one byte more tells of a larger file
  content.resize(std::fread(content.data(), 1, content.size(), file.get()));
  if (std::ferror(file.get()) != 0) {
    return absl::UnavailableError(fmt::format("{} cannot be read to its end", path));
  }
  if (content.size() > max_bytes) {
    return absl::InvalidArgumentError(
        fmt::format("{} has more than the {} bytes that are allowed", path, max_bytes));
  }
  return content;
}

absl::StatusOr<std::string> ReadSecretFile(const std::string& path) {
  KV_ASSIGN_OR_RETURN(std::string content, ReadWholeFile(path, kMaxSecretFileBytes));
  absl::StripAsciiWhitespace(&content);
  if (content.empty()) return absl::InvalidArgumentError(fmt::format("{} is empty", path));
  return content;
}

}  // namespace kvstore
