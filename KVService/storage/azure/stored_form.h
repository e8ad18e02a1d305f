// How a Blob lies on the service, and the service's failures in the codes of BlobStore's contract.
#ifndef KVSERVICE_STORAGE_AZURE_STORED_FORM_H_
#define KVSERVICE_STORAGE_AZURE_STORED_FORM_H_

#include <cstdint>
#include <string>

#include "KVService/storage/azure/blob_container.h"
#include "KVService/storage/azure/blob_requests.h"
#include "KVService/storage/blob_store.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace kvstore::azure {

// INVALID_ARGUMENT for what the contract excludes.
absl::Status CheckId(const BlobId& id);
absl::Status CheckBlob(const Blob& blob);

// kvcrc32c in hexadecimal and, unless they are empty, kvattributes in base64.
Metadata MetadataOf(const Blob& blob);

// False if a blob with such metadata is none of ours.
bool ReadMetadata(const Metadata& metadata, uint32_t& crc32c, std::string& attributes);

// DATA_LOSS if it fails its CRC-32C, or is none of ours.
absl::StatusOr<Blob> BlobOf(BlobContent content, const std::string& name);

// What the service refuses for good is no error of the caller's argument but INTERNAL; what it or
// the network did not yield is UNAVAILABLE. A container that is missing is a miss.
absl::Status AsStoreError(absl::Status status);

}  // namespace kvstore::azure

#endif  // KVSERVICE_STORAGE_AZURE_STORED_FORM_H_
