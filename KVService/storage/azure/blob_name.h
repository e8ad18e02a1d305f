// From a store's names, which may be any text, to blob names that Azure takes as they are.
#ifndef KVSERVICE_STORAGE_AZURE_BLOB_NAME_H_
#define KVSERVICE_STORAGE_AZURE_BLOB_NAME_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace kvstore::azure {

inline constexpr size_t kMaxBlobNameBytes = 1024;

// Names of letters, digits, '-', '_', and single '.' and '/' between those stay as they are, so
// that tools show them. Azure or what lies before it may change others (empty segments, dots at an
// end, backslashes): they become '~' and base64url, 4 bytes for 3. Different names stay different.
std::string EncodeBlobName(std::string_view name);

// INVALID_ARGUMENT for what EncodeBlobName gives for no name.
absl::StatusOr<std::string> DecodeBlobName(std::string_view blob_name);

}  // namespace kvstore::azure

#endif  // KVSERVICE_STORAGE_AZURE_BLOB_NAME_H_
