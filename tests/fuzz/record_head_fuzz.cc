// Heads of records, as a start that makes the metadata anew looks for them in segment files; and
// those files' names.
#include <cstring>
#include <string>

#include "KVCommon/digest.h"
#include "KVCommon/status_macros.h"
#include "KVService/storage/local/record.h"
#include "KVService/storage/local/segments.h"

namespace local = kvstore::local;

namespace {

constexpr uint32_t kSegment = 3;
constexpr uint64_t kOffset = 8192;
constexpr size_t kBeforeCrc = 36;

void Check(const std::string& page) {
  const auto head = local::ParseRecordHead(page, kSegment, kOffset);
  if (!head.ok()) return;
  KV_CHECK(head->location.segment == kSegment && head->location.offset == kOffset);
  KV_CHECK(head->location.data_size > 0 && local::IdOf(head->key).ok());
  KV_CHECK(page.starts_with(local::EncodeRecordHead(head->key, head->location)));
  const uint64_t size = local::RecordSize(head->key.size(), head->location);
  KV_CHECK(size >= head->location.data_size);
  KV_CHECK(local::Footprint(head->key.size(), head->location) >= size);
}

template <typename T>
void Put(std::string& page, size_t at, T value) {
  std::memcpy(page.data() + at, &value, sizeof value);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string page(reinterpret_cast<const char*>(data), size);
  if (const auto segment = local::ParseSegmentFileName(page)) {
    KV_CHECK(local::SegmentFileName(*segment) == page);
  }
  Check(page);
  if (size < local::kRecordHeaderBytes) return 0;
  // Once more with what keeps nearly every input out made right: the place, and the checksum.
  uint16_t key_size = 0, attributes_size = 0;
  std::memcpy(&key_size, page.data() + 6, sizeof key_size);
  std::memcpy(&attributes_size, page.data() + 8, sizeof attributes_size);
  Put(page, 0, std::array{'K', 'V', 'S', 'R'});
  Put(page, 4, uint16_t{1});
  Put(page, 12, kSegment);
  Put(page, 16, kOffset);
  const size_t end = std::min(size, local::kRecordHeaderBytes + key_size + attributes_size);
  const kvstore::ByteView bytes = kvstore::AsBytes(page);
  Put(page, kBeforeCrc,
      kvstore::Crc32c(bytes.subspan(local::kRecordHeaderBytes, end - local::kRecordHeaderBytes),
                      kvstore::Crc32c(bytes.first(kBeforeCrc))));
  Check(page);
  return 0;
}
