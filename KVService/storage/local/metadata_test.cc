// Metadata on a disk that fails: RocksDB takes nothing more until it is told to go on, and must
// then.
#include "KVService/storage/local/metadata.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "KVService/platform/temp_dir.h"

namespace kvstore::local {
namespace {

using kvstore::testing::TempDir;

class MetadataFaultsTest : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override { Open(); }
  void Open() {
    metadata_.reset();
    auto opened = Metadata::Open(directory_.path(), &fault_);
    ASSERT_TRUE(opened.ok()) << opened.status();
    metadata_ = *std::move(opened);
  }
  absl::Status Put(const std::string& key, bool sync) {
    const RecordLocation location{1, 4096, 100, 7, "attributes"};
    const MetadataChange change{&key, &location};
    return metadata_->Apply({&change, 1}, sync);
  }
  bool Fails(const absl::Status& status) const {
    return GetParam() == ENOSPC ? absl::IsResourceExhausted(status) : absl::IsUnavailable(status);
  }

  TempDir directory_;
  std::atomic<int> fault_ = 0;
  std::unique_ptr<Metadata> metadata_;
};

TEST_P(MetadataFaultsTest, GoesOnWhenTheDiskDoes) {
  for (const bool sync : {true, false}) {
    ASSERT_TRUE(Put("before", sync).ok());
    for (int round = 0; round < 3; ++round) {
      fault_ = GetParam();
      for (int i = 0; i < 3; ++i) EXPECT_TRUE(Fails(Put("failed", sync)));
      EXPECT_TRUE(metadata_->Get("before").ok());
      EXPECT_TRUE(absl::IsNotFound(metadata_->Get("failed").status()));
      fault_ = 0;
      const std::string key = "after-" + std::to_string(round);
      EXPECT_TRUE(Put(key, sync).ok());
      EXPECT_TRUE(metadata_->Get(key).ok());
    }
    Open();
    for (const char* key : {"before", "after-0", "after-1", "after-2"}) {
      EXPECT_TRUE(metadata_->Get(key).ok()) << key;
    }
    EXPECT_TRUE(absl::IsNotFound(metadata_->Get("failed").status()));
  }
}

TEST_P(MetadataFaultsTest, GoesOnWhenTheFirstWriteFailed) {
  for (int round = 0; round < 2; ++round) {
    fault_ = GetParam();
    EXPECT_TRUE(Fails(Put("failed", true)));
    EXPECT_TRUE(Fails(Put("failed", true)));
    fault_ = 0;
    EXPECT_TRUE(Put("after", true).ok());
    EXPECT_TRUE(metadata_->Get("after").ok());
    Open();
    EXPECT_TRUE(metadata_->Get("after").ok());
    EXPECT_TRUE(absl::IsNotFound(metadata_->Get("failed").status()));
  }
}

TEST_P(MetadataFaultsTest, ClosesOnADiskThatFails) {
  ASSERT_TRUE(Put("before", true).ok());
  fault_ = GetParam();
  EXPECT_TRUE(Fails(Put("failed", true)));
  EXPECT_FALSE(metadata_->Sync().ok());
  metadata_.reset();
  fault_ = 0;
  Open();
  EXPECT_TRUE(metadata_->Get("before").ok());
}

// The log has the changes, and an opening finds them there: they were told to have failed.
TEST_P(MetadataFaultsTest, WhatASyncFailedForIsUndone) {
  ASSERT_TRUE(Put("before", true).ok());
  for (int round = 0; round < 2; ++round) {
    fault_ = -GetParam();
    const std::string added = "failed", removed = "before";
    const RecordLocation location{1, 8192, 100, 7, "attributes"};
    const MetadataChange changes[] = {{&added, &location}, {&removed, nullptr}};
    bool attempted = false;
    EXPECT_TRUE(Fails(metadata_->Apply(changes, true, &attempted)));
    EXPECT_TRUE(attempted);
    EXPECT_TRUE(Fails(metadata_->Apply(changes, true, &attempted)));
    EXPECT_FALSE(attempted);
    fault_ = 0;
    EXPECT_TRUE(Put("after", true).ok());
    EXPECT_TRUE(absl::IsNotFound(metadata_->Get("failed").status()));
    EXPECT_EQ(metadata_->Get("before")->offset, 4096);
    Open();
    EXPECT_TRUE(absl::IsNotFound(metadata_->Get("failed").status()));
    EXPECT_TRUE(metadata_->Get("before").ok());
  }
}

INSTANTIATE_TEST_SUITE_P(Errors, MetadataFaultsTest, ::testing::Values(ENOSPC, EROFS, EIO));

}  // namespace
}  // namespace kvstore::local
