#include "KVService/storage/azure/azure_store_testing.h"
#include "KVService/storage/blob_store_contract_test.h"

namespace kvstore::testing {
namespace {

BlobStoreFactory OnAzurite(std::string name, Azurite& (*azurite)()) {
  return {std::move(name), [=](const std::string&, uint64_t capacity) {
            AzureOptions options;
            options.capacity_bytes = capacity;
            options.list_page = 20;  // so that listings have pages
            return std::make_unique<OwningStore>(azurite(), Azurite::SharedKey(), options);
          }};
}

INSTANTIATE_TEST_SUITE_P(Azure, BlobStoreContractTest,
                         ::testing::Values(OnAzurite("http", &Azurite::Http),
                                           OnAzurite("https", &Azurite::Https)),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace kvstore::testing
