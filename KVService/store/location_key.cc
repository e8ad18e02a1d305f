#include "KVService/store/location_key.h"

#include <openssl/rand.h>
#include <spdlog/spdlog.h>

#include <cstring>

#include "KVCommon/digest.h"
#include "KVCommon/status_macros.h"
#include "KVService/storage/shared_blob_store.h"
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

absl::Status DeleteNow(BlobStore& storage, const BlobId& id) {
  absl::Status result;
  absl::Notification done;
  storage.Delete(id, [&](absl::Status status) {
    result = std::move(status);
    done.Notify();
  });
  done.WaitForNotification();
  return absl::IsNotFound(result) ? absl::OkStatus() : result;
}

constexpr char kName[] = "location-key";

}  // namespace

BlobId LocationKeyId(const Container& container) {
  return {container.account, container.name, std::string(kReservedNames) + kName};
}
BlobId LocationKeyId() { return {"-", "-", kName}; }

absl::StatusOr<Blob> NewLocationKey() {
  LocationCodec::Key fresh;
  if (RAND_bytes(fresh.data(), fresh.size()) != 1) {
    return absl::InternalError("no random bytes for the location key");
  }
  const Slice data = Slice::CopyOf(std::as_bytes(std::span(fresh)));
  return Blob{data, Crc32c(data.bytes()), ""};
}

absl::StatusOr<LocationCodec::Key> ParseLocationKey(const Blob& blob) {
  LocationCodec::Key key;
  if (blob.data.size() != key.size()) {
    return absl::DataLossError("the stored location key has the wrong size");
  }
  std::memcpy(key.data(), blob.data.data(), key.size());
  return key;
}

absl::StatusOr<LocationCodec::Key> LoadLocationKey(BlobStore& storage) {
  const BlobId id = LocationKeyId();
  for (int attempt = 0; attempt < 2; ++attempt) {
    const absl::StatusOr<Blob> blob = GetNow(storage, id);
    if (blob.ok()) return ParseLocationKey(*blob);
    if (absl::IsDataLoss(blob.status())) {
      // Locations given out so far become misses; a store that never opens again would be worse.
      spdlog::error("the location key is damaged and is made anew error=\"{}\"",
                    std::string(blob.status().message()));
      KV_RETURN_IF_ERROR(DeleteNow(storage, id));
    } else if (!absl::IsNotFound(blob.status())) {
      return blob.status();
    }
    KV_ASSIGN_OR_RETURN(Blob fresh, NewLocationKey());
    const absl::Status put = PutNow(storage, id, std::move(fresh));
    if (!put.ok() && !absl::IsAlreadyExists(put)) return put;
  }
  return absl::UnavailableError("the location key can be neither read nor made");
}

}  // namespace kvstore
