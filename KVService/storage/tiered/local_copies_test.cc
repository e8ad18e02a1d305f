#include "KVService/storage/tiered/local_copies.h"

#include <gtest/gtest.h>

#include "KVService/storage/tiered/pending_marker.h"

namespace kvstore::tiered {
namespace {

BlobId Named(std::string name) { return {"account", "container", std::move(name)}; }

class LocalCopiesTest : public ::testing::Test {
 protected:
  LocalCopy* Shared(const std::string& name, uint64_t footprint) {
    LocalCopy* const copy = copies_.Add(KeyOf(Named(name)), Named(name), footprint);
    copies_.SetShared(copy, footprint);
    return copy;
  }
  LocalCopy* Pending(const std::string& name, uint64_t footprint, uint64_t size) {
    LocalCopy* const copy = copies_.Add(KeyOf(Named(name)), Named(name), footprint);
    copies_.SetPending(copy, {.id = Named(name), .size = size, .footprint = size + 1},
                       absl::UnixEpoch());
    return copy;
  }
  std::string Coldest() { return copies_.Coldest() ? copies_.Coldest()->id.name : ""; }

  LocalCopies copies_;
};

TEST_F(LocalCopiesTest, TheLeastRecentlyUsedGoesFirst) {
  Shared("a", 10);
  Shared("b", 20);
  Shared("c", 30);
  EXPECT_EQ(copies_.bytes(), 60);
  EXPECT_EQ(Coldest(), "a");
  copies_.Touch(copies_.Find(KeyOf(Named("a"))));
  EXPECT_EQ(Coldest(), "b");
  copies_.Remove(KeyOf(Named("b")));
  EXPECT_EQ(Coldest(), "c");
  EXPECT_EQ(copies_.bytes(), 40);
  EXPECT_EQ(Shared("d", 5)->slot, 1);  // a slot is used again
  EXPECT_EQ(copies_.size(), 3);
}

TEST_F(LocalCopiesTest, WhatIsWrittenOrPendingIsNotToBeEvicted) {
  LocalCopy* const writing = copies_.Add(KeyOf(Named("w")), Named("w"), 10);
  copies_.Touch(writing);
  LocalCopy* const pending = Pending("p", 100, 50);
  copies_.Touch(pending);
  EXPECT_EQ(Coldest(), "");
  EXPECT_EQ(copies_.pending_bytes(), 50);
  EXPECT_EQ(copies_.pending_footprint(), 51);
  EXPECT_EQ(copies_.bytes(), 110);
  copies_.SetShared(pending, 90);
  EXPECT_EQ(Coldest(), "p");
  EXPECT_EQ(copies_.bytes(), 100);
  EXPECT_EQ(copies_.pending_bytes(), 0);
  EXPECT_EQ(copies_.pending_footprint(), 0);
  EXPECT_TRUE(copies_.pending().empty());
}

TEST_F(LocalCopiesTest, WhatLeavesMayStayAfterAll) {
  LocalCopy* const shared = Shared("s", 10);
  LocalCopy* const pending = Pending("p", 100, 50);
  copies_.SetLeaving(shared);
  copies_.SetLeaving(pending);
  EXPECT_EQ(Coldest(), "");
  EXPECT_EQ(copies_.leaving_bytes(), 110);
  copies_.SetStaying(shared);
  copies_.SetStaying(pending);
  EXPECT_EQ(copies_.leaving_bytes(), 0);
  EXPECT_EQ(Coldest(), "s");
  EXPECT_EQ(copies_.pending().size(), 1);
  copies_.SetLeaving(pending);
  copies_.Remove(KeyOf(Named("p")));
  EXPECT_EQ(copies_.leaving_bytes(), 0);
  EXPECT_EQ(copies_.pending_footprint(), 0);
  EXPECT_EQ(copies_.bytes(), 10);
}

TEST(PendingMarkerTest, IsOneForEachNameAndFitsAnyName) {
  const BlobId longest{"a", "b", std::string(510, 'n')};
  EXPECT_TRUE(IsMarker(MarkerOf(longest)));
  EXPECT_TRUE(IsReserved(MarkerOf(longest)));
  EXPECT_EQ(MarkerOf(longest).name.size(), 64);
  EXPECT_FALSE(MarkerOf({"a", "b", "c"}) == MarkerOf({"a", "bc", ""}));
  EXPECT_FALSE(IsMarker(longest));
  EXPECT_FALSE(IsMarker({"-", "-", "location-key"}));
  EXPECT_EQ(AsText(MarkerBlob({"a", "b", "c"}).data.bytes()), std::string_view("a\0b\0c", 5));
}

}  // namespace
}  // namespace kvstore::tiered
