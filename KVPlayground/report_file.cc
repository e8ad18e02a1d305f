#include <spdlog/fmt/fmt.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

#include "KVPlayground/report.h"

namespace kvstore::playground {
namespace {

namespace fs = std::filesystem;

std::string TemporaryBeside(const std::string& path) {
  return fmt::format("{}.{:08x}.tmp", path, std::random_device()());
}

absl::Status WriteError(const std::string& path) {
  return absl::InvalidArgumentError(
      fmt::format("{}: cannot be written: {}", path, errno ? std::strerror(errno) : "unknown"));
}

absl::Status WriteWhole(const std::string& path, const std::string& content) {
  errno = 0;
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << content;
  file.close();
  return file ? absl::OkStatus() : WriteError(path);
}

}  // namespace

absl::Status CheckWritable(const std::string& path) {
  std::error_code error;
  const auto status = fs::status(path, error);
  if (fs::exists(status) && !fs::is_regular_file(status)) {
    return absl::InvalidArgumentError(fmt::format("{}: is there and is no regular file", path));
  }
  const std::string temporary = TemporaryBeside(path);
  const absl::Status written = WriteWhole(temporary, "");
  fs::remove(temporary, error);
  if (!written.ok()) {
    errno = 0;
    return absl::InvalidArgumentError(
        fmt::format("{}: no file can be made there ({})", path, std::string(written.message())));
  }
  return absl::OkStatus();
}

absl::Status WriteAtomically(const std::string& path, const std::string& content) {
  const std::string temporary = TemporaryBeside(path);
  absl::Status status = WriteWhole(temporary, content);
  std::error_code error;
  if (status.ok()) {
    fs::rename(temporary, path, error);
    if (!error) return absl::OkStatus();
    status = absl::InternalError(fmt::format("{}: cannot be replaced: {}", path, error.message()));
  }
  fs::remove(temporary, error);
  return status;
}

}  // namespace kvstore::playground
