// What the local store's tests share.
#ifndef KVSERVICE_STORAGE_LOCAL_LOCAL_STORE_TESTING_H_
#define KVSERVICE_STORAGE_LOCAL_LOCAL_STORE_TESTING_H_

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "KVService/storage/blob_store_testing.h"
#include "KVService/storage/local/local_blob_store.h"
#include "absl/time/clock.h"

namespace kvstore::testing {

inline LocalOptions TestOptions(const std::string& directory,
                                Durability durability = Durability::kBatch) {
  LocalOptions options;
  options.directory = directory;
  options.durability = durability;
  options.segment_bytes = 8 << 20;
  return options;
}

inline std::unique_ptr<LocalBlobStore> OpenStore(LocalOptions options) {
  auto store = LocalBlobStore::Open(std::move(options));
  EXPECT_TRUE(store.ok()) << store.status();
  return store.ok() ? *std::move(store) : nullptr;
}

// The store's segment files, oldest first.
inline std::vector<std::string> SegmentFiles(const std::string& directory) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(directory + "/segments")) {
    files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

// Waits for what the store does behind a call's back; false after 10 s.
inline bool Eventually(const std::function<bool()>& holds) {
  const absl::Time deadline = absl::Now() + absl::Seconds(10);
  while (!holds()) {
    if (absl::Now() > deadline) return false;
    absl::SleepFor(absl::Milliseconds(2));
  }
  return true;
}

inline uint64_t AllocatedBytes(const std::string& directory) {
  uint64_t bytes = 0;
  for (const std::string& file : SegmentFiles(directory)) {
    struct stat info;
    EXPECT_EQ(::stat(file.c_str(), &info), 0);
    bytes += info.st_blocks * 512;
  }
  return bytes;
}

}  // namespace kvstore::testing

#endif  // KVSERVICE_STORAGE_LOCAL_LOCAL_STORE_TESTING_H_
