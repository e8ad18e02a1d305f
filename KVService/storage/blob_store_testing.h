// What the tests of every BlobStore use: blobs whose bytes are known, calls that wait.
#ifndef KVSERVICE_STORAGE_BLOB_STORE_TESTING_H_
#define KVSERVICE_STORAGE_BLOB_STORE_TESTING_H_

#include <gtest/gtest.h>

#include <future>
#include <string>

#include "KVCommon/digest.h"
#include "KVService/platform/temp_dir.h"
#include "KVService/storage/blob_store.h"

namespace kvstore::testing {

// `size` bytes that differ from those of any other seed.
inline Blob MakeBlob(size_t size, uint64_t seed, std::string attributes = "") {
  Buffer buffer = Buffer::Allocate(size);
  uint64_t state = seed * 2 + 1;
  for (size_t i = 0; i < size; ++i) {
    if (i % 8 == 0) state = state * 6364136223846793005u + 1442695040888963407u;
    buffer.data()[i] = static_cast<std::byte>(state >> (8 * (i % 8)));
  }
  Blob blob;
  blob.data = std::move(buffer).Freeze();
  blob.crc32c = Crc32c(blob.data.bytes());
  blob.attributes = std::move(attributes);
  return blob;
}

inline BlobId Id(std::string name) { return {"account", "container", std::move(name)}; }

inline std::future<absl::Status> PutAsync(BlobStore& store, BlobId id, Blob blob,
                                          absl::Time deadline = absl::InfiniteFuture()) {
  std::promise<absl::Status> promise;
  auto future = promise.get_future();
  store.Put(std::move(id), std::move(blob), deadline,
            [p = std::move(promise)](absl::Status s) mutable { p.set_value(std::move(s)); });
  return future;
}

inline std::future<absl::StatusOr<Blob>> GetAsync(BlobStore& store, BlobId id,
                                                  absl::Time deadline = absl::InfiniteFuture()) {
  std::promise<absl::StatusOr<Blob>> promise;
  auto future = promise.get_future();
  store.Get(std::move(id), deadline, [p = std::move(promise)](absl::StatusOr<Blob> b) mutable {
    p.set_value(std::move(b));
  });
  return future;
}

inline std::future<absl::Status> DeleteAsync(BlobStore& store, BlobId id) {
  std::promise<absl::Status> promise;
  auto future = promise.get_future();
  store.Delete(std::move(id),
               [p = std::move(promise)](absl::Status s) mutable { p.set_value(std::move(s)); });
  return future;
}

inline absl::Status PutNow(BlobStore& store, BlobId id, Blob blob) {
  return PutAsync(store, std::move(id), std::move(blob)).get();
}
inline absl::StatusOr<Blob> GetNow(BlobStore& store, BlobId id) {
  return GetAsync(store, std::move(id)).get();
}
inline absl::Status DeleteNow(BlobStore& store, BlobId id) {
  return DeleteAsync(store, std::move(id)).get();
}

inline bool SameBlob(const Blob& a, const Blob& b) {
  return AsText(a.data.bytes()) == AsText(b.data.bytes()) && a.crc32c == b.crc32c &&
         a.attributes == b.attributes;
}

// Whether the store has exactly this under the name.
inline ::testing::AssertionResult Holds(BlobStore& store, BlobId id, const Blob& blob) {
  const absl::StatusOr<Blob> found = GetNow(store, id);
  if (!found.ok()) return ::testing::AssertionFailure() << id.name << ": " << found.status();
  if (!SameBlob(*found, blob)) return ::testing::AssertionFailure() << id.name << " differs";
  return ::testing::AssertionSuccess();
}

}  // namespace kvstore::testing

#endif  // KVSERVICE_STORAGE_BLOB_STORE_TESTING_H_
