// Locations, blob names and resource names.
#include "KVCommon/status_macros.h"
#include "KVService/accounts/account_name.h"
#include "KVService/block/location.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const kvstore::Container container{"acct", "box"};
  const kvstore::LocationCodec codec(kvstore::LocationCodec::Key{1, 2, 3});
  // None can be made up: whatever passes is what Encode makes.
  if (const auto block = codec.Decode(container, text)) {
    KV_CHECK(kvstore::AsText(codec.Encode(container, *block)) == text);
  }
  if (const auto block = kvstore::ParseBlobName(text)) {
    KV_CHECK(kvstore::BlobNameOf(block->partition, block->version) == text);
  }
  if (const auto account = kvstore::AccountNameOf(text); account.ok()) KV_CHECK(!account->empty());
  return 0;
}
