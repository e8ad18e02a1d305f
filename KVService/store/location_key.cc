#include "KVService/store/location_key.h"

#include <openssl/rand.h>

#include <cstring>

#include "KVCommon/digest.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"

namespace kvstore {
namespace {

constexpr absl::Duration kOpenTimeout = absl::Seconds(30);

absl::StatusOr<Blob> GetNow(BlobStore& storage, const BlobId& id) {
  absl::StatusOr<Blob> result;
  absl::Notification done;
  storage.Get(id, absl::Now() + kOpenTimeout, [&](absl::StatusOr<Blob> blob) {
    result = std::move(blob);
    done.Notify();
  });
  done.WaitForNotification();
  return result;
}

absl::Status PutNow(BlobStore& storage, const BlobId& id, Blob blob) {
  absl::Status result;
  absl::Notification done;
  storage.Put(id, std::move(blob), absl::Now() + kOpenTimeout, [&](absl::Status status) {
    result = std::move(status);
    done.Notify();
  });
  done.WaitForNotification();
  return result;
}

}  // namespace

absl::StatusOr<LocationCodec::Key> LoadLocationKey(BlobStore& storage) {
  const BlobId id{"-", "-", "location-key"};
  for (int attempt = 0; attempt < 2; ++attempt) {
    absl::StatusOr<Blob> blob = GetNow(storage, id);
    if (blob.ok()) {
      LocationCodec::Key key;
      if (blob->data.size() != key.size()) {
        return absl::DataLossError("the stored location key has the wrong size");
      }
      std::memcpy(key.data(), blob->data.data(), key.size());
      return key;
    }
    if (!absl::IsNotFound(blob.status())) return blob.status();
    LocationCodec::Key fresh;
    if (RAND_bytes(fresh.data(), fresh.size()) != 1) {
      return absl::InternalError("no random bytes for the location key");
    }
    const Slice data = Slice::CopyOf(std::as_bytes(std::span(fresh)));
    const absl::Status put = PutNow(storage, id, {data, Crc32c(data.bytes()), ""});
    if (!put.ok() && !absl::IsAlreadyExists(put)) return put;
  }
  return absl::UnavailableError("the location key can be neither read nor made");
}

}  // namespace kvstore
