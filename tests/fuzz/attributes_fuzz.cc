// The attributes of a block's blob, and the key that locations are signed with.
#include "KVCommon/status_macros.h"
#include "KVService/store/chunk_identity.h"
#include "KVService/store/location_key.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto attributes = kvstore::DecodeAttributes(text)) {
    KV_CHECK(kvstore::EncodeAttributes(*attributes) == text);
  }
  const kvstore::Slice slice = kvstore::Slice::CopyOf(kvstore::AsBytes(text));
  const auto key = kvstore::ParseLocationKey({slice, 0, ""});
  KV_CHECK(key.ok() == (size == kvstore::LocationCodec::Key().size()));
  return 0;
}
