#include "KVService/storage/azure/stored_form.h"

#include <spdlog/fmt/fmt.h>

#include <array>
#include <utility>

#include "KVCommon/digest.h"
#include "absl/strings/escaping.h"

namespace kvstore::azure {

namespace {

constexpr char kCrc[] = "kvcrc32c";
constexpr char kAttributes[] = "kvattributes";
constexpr size_t kMaxIdBytes = 512;

}  // namespace

absl::Status CheckId(const BlobId& id) {
  const size_t bytes = id.account.size() + id.container.size() + id.name.size();
  if (bytes > kMaxIdBytes) {
    return absl::InvalidArgumentError(fmt::format("blob name of {} bytes", bytes));
  }
  for (const std::string* part : {&id.account, &id.container, &id.name}) {
    if (part->find('\0') != std::string::npos) {
      return absl::InvalidArgumentError("blob name with a NUL");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckBlob(const Blob& blob) {
  if (blob.data.empty()) return absl::InvalidArgumentError("blob without data");
  if (blob.attributes.size() > kMaxBlobAttributes) {
    return absl::InvalidArgumentError(
        fmt::format("blob with {} bytes of attributes", blob.attributes.size()));
  }
  return absl::OkStatus();
}

absl::Status AsStoreError(absl::Status status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kUnavailable:
      return status;
    case absl::StatusCode::kNotFound:
      return absl::Status(absl::StatusCode::kNotFound, "");  // a container that is missing, too
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kAborted:
      return absl::UnavailableError(std::string(status.message()));
    default:
      return absl::InternalError(std::string(status.message()));
  }
}

Metadata MetadataOf(const Blob& blob) {
  Metadata metadata = {{kCrc, fmt::format("{:08x}", blob.crc32c)}};
  if (!blob.attributes.empty()) {
    metadata.emplace_back(kAttributes, absl::Base64Escape(blob.attributes));
  }
  return metadata;
}

bool ReadMetadata(const Metadata& metadata, uint32_t& crc32c, std::string& attributes) {
  const std::string* crc = azure::FindMetadata(metadata, kCrc);
  std::array<uint8_t, 4> bytes;
  if (crc == nullptr || !FromHex(*crc, bytes)) return false;
  crc32c = 0;
  for (const uint8_t byte : bytes) crc32c = crc32c << 8 | byte;
  const std::string* base64 = azure::FindMetadata(metadata, kAttributes);
  return base64 == nullptr || absl::Base64Unescape(*base64, &attributes);
}

absl::StatusOr<Blob> BlobOf(BlobContent content, const std::string& name) {
  Blob blob;
  if (!ReadMetadata(content.properties.metadata, blob.crc32c, blob.attributes) ||
      content.data.empty()) {
    return absl::DataLossError(fmt::format("{} in Azure Blob Storage is not of our making", name));
  }
  if (const uint32_t crc32c = Crc32c(content.data.bytes()); crc32c != blob.crc32c) {
    return absl::DataLossError(fmt::format(
        "{} in Azure Blob Storage has CRC-32C {:08x}, not {:08x}", name, crc32c, blob.crc32c));
  }
  blob.data = std::move(content.data);
  blob.remote = true;
  return blob;
}

}  // namespace kvstore::azure
