#include "KVService/storage/blob_store_contract_test.h"
#include "KVService/storage/tiered/tiered_store_testing.h"

namespace kvstore::testing {
namespace {

// Counts nothing twice: Usage, which may while a blob is uploaded, waits until none is.
class Settled : public BlobStore {
 public:
  Settled(std::unique_ptr<TieredBlobStore> tier, bool uploads)
      : tier_(std::move(tier)), uploads_(uploads) {}
  void Put(BlobId id, Blob blob, Patience patience,
           absl::AnyInvocable<void(absl::Status) &&> done) override {
    tier_->Put(std::move(id), std::move(blob), std::move(patience), std::move(done));
  }
  void Get(BlobId id, Patience patience,
           absl::AnyInvocable<void(absl::StatusOr<Blob>) &&> done) override {
    tier_->Get(std::move(id), std::move(patience), std::move(done));
  }
  void Delete(BlobId id, absl::AnyInvocable<void(absl::Status) &&> done) override {
    tier_->Delete(std::move(id), std::move(done));
  }
  absl::Status ListUntil(const std::shared_ptr<Cancellation>& end,
                         const std::function<void(BlobInfo)>& visit) override {
    return tier_->ListUntil(end, visit);
  }
  void ListPrefix(BlobId prefix, size_t limit, Patience patience,
                  Done<std::vector<BlobInfo>> done) override {
    tier_->ListPrefix(std::move(prefix), limit, std::move(patience), std::move(done));
  }
  BlobStoreUsage Usage() const override {
    EXPECT_TRUE(!uploads_ || UploadsOf(*tier_).ok());
    return tier_->Usage();
  }
  uint64_t FootprintOf(const BlobId& id, const Blob& blob) const override {
    return tier_->FootprintOf(id, blob);
  }
  absl::Status Close() override { return tier_->Close(); }

 private:
  const std::unique_ptr<TieredBlobStore> tier_;
  const bool uploads_;
};

enum class Uploads { kSoon, kNever };

BlobStoreFactory On(std::string name, bool write_back, bool disk, Uploads uploads) {
  return {std::move(name), [=](const std::string& directory, uint64_t capacity) {
            TieredOptions options = FastOptions(write_back);
            if (uploads == Uploads::kNever) options.upload_concurrency = 0;
            std::unique_ptr<TieredBlobStore> tier =
                disk ? DiskTier(options, directory, std::make_shared<MemoryAccount>(capacity)).tier
                     : MemoryTier(options, 0, capacity).tier;
            std::unique_ptr<BlobStore> settled =
                std::make_unique<Settled>(std::move(tier), uploads == Uploads::kSoon);
            return settled;
          }};
}

INSTANTIATE_TEST_SUITE_P(
    Tiered, BlobStoreContractTest,
    ::testing::Values(On("write_through", false, false, Uploads::kSoon),
                      On("write_through_disk", false, true, Uploads::kSoon),
                      On("write_back", true, false, Uploads::kSoon),
                      On("write_back_disk", true, true, Uploads::kSoon),
                      On("write_back_not_uploaded", true, false, Uploads::kNever),
                      On("write_back_not_uploaded_disk", true, true, Uploads::kNever)),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace kvstore::testing
