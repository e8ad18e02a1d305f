#include "KVClient/src/channel_pool.h"

#include "gtest/gtest.h"

namespace kvstore::client {
namespace {

TEST(ChannelPool, IsSharedWhileItIsInUse) {
  const auto pool = ChannelPool::Get("shared:1", 2);
  EXPECT_EQ(ChannelPool::Get("shared:1", 2), pool);
  EXPECT_NE(ChannelPool::Get("shared:1", 3), pool);
  EXPECT_NE(ChannelPool::Get("shared:2", 2), pool);
  const ChannelSecurity tls{.tls = true, .pems = {}, .server_name = "kv"};
  EXPECT_NE(ChannelPool::Get("shared:1", 2, tls), pool);
}

TEST(ChannelPool, ChoosesTheConnectionWithTheLeastOnTheWay) {
  const auto pool = ChannelPool::Get("load:1", 2);
  auto large = pool->Acquire(1000);
  grpc::GenericStub* const busy = &large.stub();
  const auto small = pool->Acquire(10);
  const auto another = pool->Acquire(10);
  EXPECT_NE(&small.stub(), busy);
  EXPECT_NE(&another.stub(), busy);
  large = ChannelPool::Lease();  // ends that call
  EXPECT_EQ(&pool->Acquire(10).stub(), busy);
}

TEST(ChannelPool, GivesEachConnectionOnce) {
  const auto pool = ChannelPool::Get("each:1", 3);
  const auto leases = pool->AcquireEach();
  ASSERT_EQ(leases.size(), 3u);
  EXPECT_NE(&leases[0].stub(), &leases[1].stub());
  EXPECT_NE(&leases[1].stub(), &leases[2].stub());
}

}  // namespace
}  // namespace kvstore::client
