#include "KVService/storage/tiered/pending_marker.h"

#include "KVCommon/digest.h"
#include "KVService/storage/shared_blob_store.h"

namespace kvstore::tiered {
namespace {

constexpr std::string_view kReservedAccount = "-";
constexpr std::string_view kMarkers = "pending";

}  // namespace

std::string KeyOf(const BlobId& id) {
  std::string key;
  key.reserve(id.account.size() + id.container.size() + id.name.size() + 2);
  key.append(id.account).append(1, '\0').append(id.container).append(1, '\0').append(id.name);
  return key;
}

BlobId MarkerOf(const BlobId& id) {
  return {std::string(kReservedAccount), std::string(kMarkers), ToHex(Sha256(AsBytes(KeyOf(id))))};
}

Blob MarkerBlob(const BlobId& id) {
  Blob blob;
  blob.data = Slice::CopyOf(AsBytes(KeyOf(id)));
  blob.crc32c = Crc32c(blob.data.bytes());
  return blob;
}

bool IsReserved(const BlobId& id) {
  return id.account == kReservedAccount || id.name.starts_with(kReservedNames);
}

bool IsMarker(const BlobId& id) {
  return id.account == kReservedAccount && id.container == kMarkers;
}

}  // namespace kvstore::tiered
