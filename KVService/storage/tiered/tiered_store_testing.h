// What the tiered store's tests share.
#ifndef KVSERVICE_STORAGE_TIERED_TIERED_STORE_TESTING_H_
#define KVSERVICE_STORAGE_TIERED_TIERED_STORE_TESTING_H_

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "KVService/storage/blob_store_testing.h"
#include "KVService/storage/local/local_blob_store.h"
#include "KVService/storage/memory/memory_shared_blob_store.h"
#include "KVService/storage/tiered/tiered_blob_store.h"
#include "absl/time/clock.h"

namespace kvstore::testing {

using Remote = MemorySharedBlobStore;

inline TieredOptions FastOptions(bool write_back) {
  TieredOptions options;
  options.write_back = write_back;
  options.retry_min = absl::Milliseconds(1);
  options.retry_max = absl::Milliseconds(10);
  return options;
}

// A tier and what is beneath it, which it owns; the pointers are for their hooks.
template <typename Local>
struct TierOn {
  std::unique_ptr<TieredBlobStore> tier;
  Local* local = nullptr;
  Remote* remote = nullptr;

  TieredBlobStore& operator*() const { return *tier; }
  TieredBlobStore* operator->() const { return tier.get(); }
};

template <typename Local>
TierOn<Local> OpenTier(TieredOptions options, std::unique_ptr<Local> local,
                       std::unique_ptr<Remote> remote) {
  TierOn<Local> made{nullptr, local.get(), remote.get()};
  auto tier = TieredBlobStore::Open(options, std::move(local), std::move(remote));
  EXPECT_TRUE(tier.ok()) << tier.status();
  if (tier.ok()) made.tier = *std::move(tier);
  return made;
}

// In memory, empty.
inline TierOn<MemoryBlobStore> MemoryTier(TieredOptions options, uint64_t local_capacity = 0,
                                          uint64_t remote_capacity = 0) {
  return OpenTier(options, std::make_unique<MemoryBlobStore>(local_capacity),
                  std::make_unique<Remote>(remote_capacity));
}

inline std::unique_ptr<LocalBlobStore> OpenLocal(const std::string& directory,
                                                 uint64_t capacity = 0,
                                                 Durability durability = Durability::kNone) {
  LocalOptions options;
  options.directory = directory;
  options.capacity_bytes = capacity;
  options.durability = durability;
  options.segment_bytes = 8 << 20;
  auto store = LocalBlobStore::Open(std::move(options));
  EXPECT_TRUE(store.ok()) << store.status();
  return store.ok() ? *std::move(store) : nullptr;
}

// On a directory, and an account that outlives the tier.
inline TierOn<LocalBlobStore> DiskTier(TieredOptions options, const std::string& directory,
                                       std::shared_ptr<MemoryAccount> account,
                                       uint64_t capacity = 0) {
  return OpenTier(options, OpenLocal(directory, capacity),
                  std::make_unique<Remote>(std::move(account)));
}

// For what happens in the background and has no other sign.
inline bool Eventually(const std::function<bool()>& condition) {
  const absl::Time end = absl::Now() + absl::Seconds(60);
  while (!condition()) {
    if (absl::Now() > end) return false;
    absl::SleepFor(absl::Milliseconds(1));
  }
  return true;
}

inline absl::Status UploadsOf(TieredBlobStore& tier) {
  return tier.WaitForUploads(absl::Now() + absl::Seconds(60));
}

}  // namespace kvstore::testing

#endif  // KVSERVICE_STORAGE_TIERED_TIERED_STORE_TESTING_H_
