#include "KVService/storage/memory/memory_blob_store.h"

#include "KVService/storage/blob_store_contract_test.h"
#include "KVService/storage/memory/memory_shared_blob_store.h"

namespace kvstore::testing {
namespace {

template <typename Store>
BlobStoreFactory Factory(std::string name) {
  return {std::move(name),
          [](const std::string&, uint64_t capacity) { return std::make_unique<Store>(capacity); }};
}

INSTANTIATE_TEST_SUITE_P(Memory, BlobStoreContractTest,
                         ::testing::Values(Factory<MemoryBlobStore>("memory"),
                                           Factory<MemorySharedBlobStore>("memory_shared")),
                         [](const auto& info) { return info.param.name; });

TEST(MemoryBlobStoreTest, FailsTheNextCallsAsAsked) {
  MemoryBlobStore store;
  store.FailNextPut(absl::UnavailableError("one"));
  store.FailNextPut(absl::ResourceExhaustedError("two"));
  EXPECT_TRUE(absl::IsUnavailable(PutNow(store, Id("a"), MakeBlob(10, 1))));
  EXPECT_TRUE(absl::IsResourceExhausted(PutNow(store, Id("a"), MakeBlob(10, 1))));
  EXPECT_TRUE(PutNow(store, Id("a"), MakeBlob(10, 1)).ok());
  store.FailNextGet(absl::UnavailableError("get"));
  EXPECT_TRUE(absl::IsUnavailable(GetNow(store, Id("a")).status()));
  EXPECT_TRUE(Holds(store, Id("a"), MakeBlob(10, 1)));
  store.FailNextDelete(absl::UnavailableError("delete"));
  EXPECT_TRUE(absl::IsUnavailable(DeleteNow(store, Id("a"))));
  EXPECT_TRUE(DeleteNow(store, Id("a")).ok());
}

TEST(MemoryBlobStoreTest, HoldsCallbacksUntilReleased) {
  MemoryBlobStore store;
  store.HoldCallbacks();
  auto put = PutAsync(store, Id("a"), MakeBlob(10, 1));
  auto get = GetAsync(store, Id("a"));
  EXPECT_EQ(store.held_callbacks(), 2);
  EXPECT_EQ(put.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  store.ReleaseCallbacks();
  EXPECT_TRUE(put.get().ok());
  EXPECT_TRUE(get.get().ok());
  EXPECT_EQ(store.held_callbacks(), 0);
}

TEST(MemoryBlobStoreTest, ACorruptedBlobIsDataLoss) {
  MemoryBlobStore store;
  EXPECT_FALSE(store.Corrupt(Id("a")));
  ASSERT_TRUE(PutNow(store, Id("a"), MakeBlob(10, 1)).ok());
  EXPECT_TRUE(store.Corrupt(Id("a")));
  EXPECT_TRUE(absl::IsDataLoss(GetNow(store, Id("a")).status()));
}

}  // namespace
}  // namespace kvstore::testing
