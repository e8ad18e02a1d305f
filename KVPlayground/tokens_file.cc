#include "KVPlayground/tokens_file.h"

#include <spdlog/fmt/fmt.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <utility>

#include "KVCommon/status_macros.h"
#include "KVPlayground/tokens_parser.h"

namespace kvstore::playground {

absl::StatusOr<TokenizedPrompts> ParseTokens(std::string_view json) {
  TokensParser parser(json);
  const bool ok = nlohmann::json::sax_parse(json.begin(), json.end(), &parser);
  if (!ok) return absl::InvalidArgumentError(parser.error());
  return std::move(parser).TakePrompts();
}

absl::StatusOr<TokenizedPrompts> ReadTokensFile(const std::string& path) {
  KV_ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(path, kMaxInputFileBytes));
  auto prompts = ParseTokens(text);
  if (!prompts.ok()) {
    return absl::InvalidArgumentError(
        fmt::format("{}: {}", path, std::string(prompts.status().message())));
  }
  return prompts;
}

absl::StatusOr<std::string> ReadWholeFile(const std::string& path, size_t limit) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    return absl::InvalidArgumentError(fmt::format("{}: is a directory, not a file", path));
  }
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return absl::InvalidArgumentError(
        fmt::format("{}: cannot be read: {}", path, errno ? std::strerror(errno) : "unknown"));
  }
  const auto size = std::filesystem::file_size(path, error);
  if (!error && size > limit) {
    return absl::InvalidArgumentError(
        fmt::format("{}: {} bytes are more than the {} that are allowed", path, size, limit));
  }
  // What is no regular file tells no size: read by pieces, and not beyond the limit.
  std::string text;
  std::vector<char> piece(size_t{1} << 20);
  while (file) {
    file.read(piece.data(), static_cast<std::streamsize>(piece.size()));
    text.append(piece.data(), static_cast<size_t>(file.gcount()));
    if (text.size() > limit) {
      return absl::InvalidArgumentError(
          fmt::format("{}: more than the {} bytes that are allowed", path, limit));
    }
  }
  if (file.bad()) return absl::InvalidArgumentError(fmt::format("{}: reading failed", path));
  return text;
}

std::string Quoted(std::string_view text, size_t limit) {
  std::string quoted = "\"";
  for (const char c : text.substr(0, limit)) quoted += c >= ' ' && c <= '~' ? c : '?';
  quoted += text.size() > limit ? "...\"" : "\"";
  return quoted;
}

}  // namespace kvstore::playground
