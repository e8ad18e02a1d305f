// Reads conversations that are tokenised already: {"prompts": [{"text", "tokens",
// "token_count"}…]}.
#ifndef KVPLAYGROUND_TOKENS_FILE_H_
#define KVPLAYGROUND_TOKENS_FILE_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "KVCommon/limits.h"
#include "absl/status/statusor.h"

namespace kvstore::playground {

// Larger files are refused before they fill the memory.
inline constexpr size_t kMaxInputFileBytes = size_t{1} << 30;

// One request: the tokens of the whole context at that turn.
using TokenizedPrompts = std::vector<std::vector<Token>>;

// INVALID_ARGUMENT with the line and column, where it is no JSON, or the key path, where a value is
// not what it should be: prompts[3].tokens[17]: expected an integer, got "abc". Keys that are not
// known are passed over; the texts are not kept.
absl::StatusOr<TokenizedPrompts> ParseTokens(std::string_view json);

// The same of a file; each message begins with its path.
absl::StatusOr<TokenizedPrompts> ReadTokensFile(const std::string& path);

// A whole file of at most `limit` bytes; the message says what is wrong with it, path first.
absl::StatusOr<std::string> ReadWholeFile(const std::string& path, size_t limit);

// `text` fit for a message: at most `limit` characters, printable ASCII only.
std::string Quoted(std::string_view text, size_t limit = 40);

}  // namespace kvstore::playground

#endif  // KVPLAYGROUND_TOKENS_FILE_H_
