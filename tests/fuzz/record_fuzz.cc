// Records of segment files and values of the metadata. Nothing passes that was not written so.
#include <algorithm>
#include <string>

#include "KVCommon/digest.h"
#include "KVCommon/status_macros.h"
#include "KVService/storage/local/record.h"

namespace local = kvstore::local;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto location = local::DecodeLocation(text); location.ok()) {
    KV_CHECK(local::EncodeLocation(*location) == text);
  }
  if (const auto id = local::IdOf(text); id.ok()) KV_CHECK(local::KeyOf(*id) == text);

  // A whole record, then the input's edits to it: pairs of (position, value to xor).
  const std::string key = local::KeyOf({"acct", "box", "name"});
  const std::string payload = "the tensors of a block, or what stands for them here";
  local::RecordLocation location;
  location.segment = 3;
  location.offset = 4096;
  location.data_size = payload.size();
  location.crc32c = kvstore::Crc32c(kvstore::AsBytes(payload));
  location.attributes = "attributes";
  std::string record = local::EncodeRecordHead(key, location) + payload;
  const std::string whole = record;
  for (size_t i = 0; i + 1 < size; i += 2)
    record[data[i] % record.size()] ^= static_cast<char>(data[i + 1]);
  if (size % 2 == 1) record.resize(std::min<size_t>(record.size(), data[size - 1]));
  const auto blob =
      local::DecodeRecord(key, location, kvstore::Slice::CopyOf(kvstore::AsBytes(record)));
  KV_CHECK(blob.ok() == (record == whole));
  if (blob.ok()) KV_CHECK(kvstore::AsText(blob->data.bytes()) == payload);
  return 0;
}
