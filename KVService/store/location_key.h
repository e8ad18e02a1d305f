// The key under which a store's locations are signed. It lives in the store.
#ifndef KVSERVICE_STORE_LOCATION_KEY_H_
#define KVSERVICE_STORE_LOCATION_KEY_H_

#include "KVService/block/location.h"
#include "KVService/storage/blob_store.h"
#include "absl/status/statusor.h"

namespace kvstore {

// Where it is kept: a container's own, or that of a store that is one server's.
BlobId LocationKeyId(const Container& container);
BlobId LocationKeyId();

// A blob with a random key. INTERNAL where there is no randomness.
absl::StatusOr<Blob> NewLocationKey();
// DATA_LOSS where the blob holds no key.
absl::StatusOr<LocationCodec::Key> ParseLocationKey(const Blob& blob);

// Reads a store's own key, made at first use. Blocks.
absl::StatusOr<LocationCodec::Key> LoadLocationKey(BlobStore& storage);

}  // namespace kvstore

#endif  // KVSERVICE_STORE_LOCATION_KEY_H_
