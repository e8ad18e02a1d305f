#include "KVService/storage/blob_store_contract_test.h"
#include "KVService/storage/local/local_store_testing.h"

namespace kvstore::testing {
namespace {

BlobStoreFactory Local(std::string name, Durability durability, DiskReads reads = DiskReads::kAuto,
                       AsyncIo io = AsyncIo::kAuto) {
  return {std::move(name), [=](const std::string& directory, uint64_t capacity) {
            LocalOptions options = TestOptions(directory, durability);
            options.capacity_bytes = capacity;
            options.reads = reads;
            options.io = io;
            return OpenStore(std::move(options));
          }};
}

INSTANTIATE_TEST_SUITE_P(
    Local, BlobStoreContractTest,
    ::testing::Values(Local("none", Durability::kNone), Local("batch", Durability::kBatch),
                      Local("each", Durability::kEach),
                      Local("batch_direct", Durability::kBatch, DiskReads::kDirect),
                      Local("batch_direct_threads", Durability::kBatch, DiskReads::kDirect,
                            AsyncIo::kThreads),
                      Local("none_page_cache", Durability::kNone, DiskReads::kPageCache)),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace kvstore::testing
