#include "KVService/storage/azure/blob_name.h"

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"

namespace kvstore::azure {

namespace {

bool IsPlain(std::string_view name) {
  bool separator = true;  // whether the byte before is one, or there is none
  for (const char c : name) {
    if (c == '.' || c == '/') {
      if (separator) return false;
      separator = true;
    } else if (absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_') {
      separator = false;
    } else {
      return false;
    }
  }
  return !separator;
}

}  // namespace

std::string EncodeBlobName(std::string_view name) {
  if (IsPlain(name)) return std::string(name);
  return "~" + absl::WebSafeBase64Escape(absl::string_view(name.data(), name.size()));
}

absl::StatusOr<std::string> DecodeBlobName(std::string_view blob_name) {
  if (IsPlain(blob_name)) return std::string(blob_name);
  std::string name;
  if (blob_name.empty() || blob_name.front() != '~' ||
      !absl::WebSafeBase64Unescape(absl::string_view(blob_name.data() + 1, blob_name.size() - 1),
                                   &name) ||
      EncodeBlobName(name) != blob_name) {
    return absl::InvalidArgumentError("'" + std::string(blob_name) + "' is not a name of ours");
  }
  return name;
}

}  // namespace kvstore::azure
