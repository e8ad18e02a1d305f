// The key under which locations are made (block/location.h). It lives in the storage, so that
// locations outlive the server, and all servers of a storage take each other's.
#ifndef KVSERVICE_STORE_LOCATION_KEY_H_
#define KVSERVICE_STORE_LOCATION_KEY_H_

#include "KVService/block/location.h"
#include "KVService/storage/blob_store.h"
#include "absl/status/statusor.h"

namespace kvstore {

// Reads the key, or makes one at first use; of several servers that do, one wins. Blocks.
absl::StatusOr<LocationCodec::Key> LoadLocationKey(BlobStore& storage);

}  // namespace kvstore

#endif  // KVSERVICE_STORE_LOCATION_KEY_H_
