#include "KVService/observe/shown_options.h"

#include <algorithm>

#include "absl/strings/ascii.h"

namespace kvstore {

namespace {

// Words of a name whose value is one, or tells of one.
constexpr std::string_view kSecretNames[] = {"key",      "token",     "secret",
                                             "password", "passwd",    "credential",
                                             "sas",      "signature", "connection-string"};
// Parts of values: Azure's connection strings and signatures, HTTP's and PEM's forms.
constexpr std::string_view kSecretParts[] = {"accountkey=", "sharedaccess", "sig=",   "key=",
                                             "password=",   "secret=",      "token=", "bearer ",
                                             "basic ",      "-----begin"};
constexpr size_t kLongestWord = 40;

bool IsNamed(std::string_view name, std::string_view word) {
  const size_t at = name.find(word);
  if (at == std::string_view::npos) return false;
  const size_t end = at + word.size();
  return (at == 0 || name[at - 1] == '-') && (end == name.size() || name[end] == '-');
}

// user:password@host
bool HasUserInfo(std::string_view value) {
  const size_t scheme = value.find("://");
  if (scheme == std::string_view::npos) return false;
  const std::string_view rest = value.substr(scheme + 3);
  return rest.substr(0, rest.find('/')).find('@') != std::string_view::npos;
}

// A long word of letters and digits alone, as keys are in base64 and tokens in hex; paths and names
// have dots and slashes in them.
bool HasRandomWord(std::string_view value) {
  size_t word = 0;
  for (const char c : value) {
    word =
        absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '+' || c == '=' ? word + 1 : 0;
    if (word >= kLongestWord) return true;
  }
  return false;
}

}  // namespace

std::string Masked(std::string_view name, std::string_view value) {
  if (value.empty()) return "";
  const std::string low_name = absl::AsciiStrToLower(std::string(name));
  const std::string low = absl::AsciiStrToLower(std::string(value));
  const bool secret =
      std::any_of(std::begin(kSecretNames), std::end(kSecretNames),
                  [&](std::string_view word) { return IsNamed(low_name, word); }) ||
      std::any_of(std::begin(kSecretParts), std::end(kSecretParts),
                  [&](std::string_view part) { return low.find(part) != std::string::npos; }) ||
      HasUserInfo(value) || HasRandomWord(value);
  return std::string(secret ? kMask : value);
}

}  // namespace kvstore
