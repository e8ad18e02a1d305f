// The attributes of a block's blob.
#include "KVCommon/status_macros.h"
#include "KVService/store/chunk_identity.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto attributes = kvstore::DecodeAttributes(text)) {
    KV_CHECK(kvstore::EncodeAttributes(*attributes) == text);
  }
  return 0;
}
