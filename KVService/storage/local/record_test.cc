#include "KVService/storage/local/record.h"

#include <gtest/gtest.h>

#include "KVService/storage/blob_store_testing.h"

namespace kvstore::local {
namespace {

TEST(RecordTest, KeysComeBackAsTheIdsTheyWere) {
  for (const BlobId& id : {BlobId{"a", "b", "c"}, BlobId{"", "", ""}, BlobId{"a/b", "", "c/d"}}) {
    const auto back = IdOf(KeyOf(id));
    ASSERT_TRUE(back.ok());
    EXPECT_EQ(*back, id);
  }
  EXPECT_TRUE(absl::IsDataLoss(IdOf("no separators").status()));
}

TEST(RecordTest, LocationsComeBackAndDamagedOnesDoNot) {
  const RecordLocation location{7, 4096 * 3, 1258291, 0xDEADBEEF, "attributes"};
  const std::string value = EncodeLocation(location);
  const auto back = DecodeLocation(value);
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(*back, location);
  EXPECT_TRUE(absl::IsDataLoss(DecodeLocation("").status()));
  EXPECT_TRUE(absl::IsDataLoss(DecodeLocation(value.substr(0, 20)).status()));
  EXPECT_TRUE(absl::IsDataLoss(DecodeLocation("\x02" + value.substr(1)).status()));
  EXPECT_TRUE(absl::IsDataLoss(DecodeLocation(value + std::string(65, 'x')).status()));
  RecordLocation odd = location;
  odd.offset = 100;
  EXPECT_TRUE(absl::IsDataLoss(DecodeLocation(EncodeLocation(odd)).status()));
}

TEST(RecordTest, TheFormatStaysWhatItIs) {
  const RecordLocation location{1, 8192, 3, 0x11223344, "z"};
  const std::string head = EncodeRecordHead("k", location);
  EXPECT_EQ(head.size(), kRecordHeaderBytes + 2);
  EXPECT_EQ(head.substr(0, 12), std::string("KVSR\1\0\1\0\1\0\0\0", 12));
  EXPECT_EQ(head.substr(12, 12), std::string("\1\0\0\0\0\x20\0\0\0\0\0\0", 12));
  EXPECT_EQ(head.substr(24, 12), std::string("\3\0\0\0\0\0\0\0\x44\x33\x22\x11", 12));
  EXPECT_EQ(head.substr(40), "kz");
  EXPECT_EQ(Footprint(1, location), 4096);
}

TEST(RecordTest, ARecordOfAnotherKeyPlaceOrContentIsDamage) {
  const Blob blob = kvstore::testing::MakeBlob(100, 1, "z");
  const RecordLocation location{1, 8192, 100, blob.crc32c, "z"};
  std::string bytes = EncodeRecordHead("key", location);
  bytes.append(AsText(blob.data.bytes()));
  const Slice record = Slice::CopyOf(AsBytes(bytes));
  const auto decoded = DecodeRecord("key", location, record);
  ASSERT_TRUE(decoded.ok());
  EXPECT_TRUE(kvstore::testing::SameBlob(*decoded, blob));
  EXPECT_TRUE(absl::IsDataLoss(DecodeRecord("kez", location, record).status()));
  EXPECT_TRUE(absl::IsDataLoss(DecodeRecord("key", location, record.Sub(0, 100)).status()));
  for (RecordLocation other : {RecordLocation{2, 8192, 100, blob.crc32c, "z"},
                               RecordLocation{1, 4096, 100, blob.crc32c, "z"},
                               RecordLocation{1, 8192, 99, blob.crc32c, "z"},
                               RecordLocation{1, 8192, 100, blob.crc32c + 1, "z"},
                               RecordLocation{1, 8192, 100, blob.crc32c, "y"}}) {
    EXPECT_TRUE(absl::IsDataLoss(DecodeRecord("key", other, record).status()));
  }
}

}  // namespace
}  // namespace kvstore::local
