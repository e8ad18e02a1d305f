#include "KVService/storage/azure/stored_form.h"

#include <gtest/gtest.h>

#include "KVService/storage/blob_store_testing.h"

namespace kvstore::azure {
namespace {

using testing::MakeBlob;

BlobContent ContentOf(const Blob& blob) {
  BlobContent content;
  content.data = blob.data;
  content.properties.metadata = MetadataOf(blob);
  return content;
}

TEST(StoredFormTest, GivesTheBlobBack) {
  for (const std::string& attributes :
       {std::string(), std::string("text"), std::string(64, '\0')}) {
    const Blob blob = MakeBlob(1000, 1, attributes);
    const auto found = BlobOf(ContentOf(blob), "a");
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_TRUE(testing::SameBlob(*found, blob));
  }
}

TEST(StoredFormTest, RefusesDamageAndWhatIsNotOurs) {
  const Blob blob = MakeBlob(1000, 1, "text");
  BlobContent content = ContentOf(blob);
  content.data = MakeBlob(1000, 2).data;
  EXPECT_TRUE(absl::IsDataLoss(BlobOf(content, "a").status()));
  content = ContentOf(blob);
  content.data = Slice();
  EXPECT_TRUE(absl::IsDataLoss(BlobOf(content, "a").status()));
  for (const Metadata& metadata :
       {Metadata{}, Metadata{{"kvcrc32c", "12"}}, Metadata{{"kvcrc32c", "1234567x"}},
        Metadata{{"kvcrc32c", "00000000"}, {"kvattributes", "*"}}}) {
    content = ContentOf(blob);
    content.properties.metadata = metadata;
    EXPECT_TRUE(absl::IsDataLoss(BlobOf(content, "a").status()));
  }
}

TEST(StoredFormTest, KeepsToTheContractsCodes) {
  const auto code = [](absl::StatusCode code) {
    return AsStoreError(absl::Status(code, "x")).code();
  };
  for (const auto kept : {absl::StatusCode::kNotFound, absl::StatusCode::kAlreadyExists,
                          absl::StatusCode::kDataLoss, absl::StatusCode::kResourceExhausted,
                          absl::StatusCode::kDeadlineExceeded, absl::StatusCode::kUnavailable}) {
    EXPECT_EQ(code(kept), kept);
  }
  EXPECT_TRUE(AsStoreError(absl::OkStatus()).ok());
  EXPECT_TRUE(AsStoreError(absl::NotFoundError("ContainerNotFound")).message().empty());
  EXPECT_EQ(code(absl::StatusCode::kCancelled), absl::StatusCode::kUnavailable);
  EXPECT_EQ(code(absl::StatusCode::kPermissionDenied), absl::StatusCode::kInternal);
  EXPECT_EQ(code(absl::StatusCode::kInvalidArgument), absl::StatusCode::kInternal);
}

}  // namespace
}  // namespace kvstore::azure
