// How a blob that is not uploaded yet is marked in the local store: by a small blob of its own.
#ifndef KVSERVICE_STORAGE_TIERED_PENDING_MARKER_H_
#define KVSERVICE_STORAGE_TIERED_PENDING_MARKER_H_

#include <string>

#include "KVService/storage/blob_store.h"

namespace kvstore::tiered {

// The marker of `id`: account "-", container "pending", and as name the SHA-256 of `id`, since a
// name may be as long as all three parts of an id together. Its data is the id, for people to read.
BlobId MarkerOf(const BlobId& id);
Blob MarkerBlob(const BlobId& id);
bool IsMarker(const BlobId& id);

// The blobs that servers keep for themselves, and those that they must agree on (kReservedNames).
bool IsReserved(const BlobId& id);

// The id in one piece, ordered by account, container and name; none is the beginning of another's
// container.
std::string KeyOf(const BlobId& id);

}  // namespace kvstore::tiered

#endif  // KVSERVICE_STORAGE_TIERED_PENDING_MARKER_H_
