#include "KVService/storage/local/record.h"

#include <spdlog/fmt/fmt.h>

#include <bit>
#include <cstring>

#include "KVCommon/digest.h"

namespace kvstore::local {
namespace {

static_assert(std::endian::native == std::endian::little, "formats are written as they lie");

constexpr uint32_t kMagic = 0x5253564B;  // "KVSR"
constexpr uint16_t kRecordVersion = 1;
constexpr uint8_t kLocationVersion = 1;
constexpr size_t kLocationBytes = 1 + 4 + 8 + 8 + 4;
// No blob comes near; keeps the arithmetic on sizes from overflowing on damaged metadata.
constexpr uint64_t kMaxPosition = uint64_t{1} << 48;

template <typename T>
void Append(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

template <typename T>
T Take(std::string_view& in) {
  T value;
  std::memcpy(&value, in.data(), sizeof(value));
  in.remove_prefix(sizeof(value));
  return value;
}

}  // namespace

std::string KeyOf(const BlobId& id) {
  std::string key;
  key.reserve(id.account.size() + id.container.size() + id.name.size() + 2);
  key.append(id.account).push_back('\0');
  key.append(id.container).push_back('\0');
  key.append(id.name);
  return key;
}

absl::Status CheckId(const BlobId& id) {
  const size_t size = id.account.size() + id.container.size() + id.name.size();
  if (size > kMaxIdBytes) {
    return absl::InvalidArgumentError(
        fmt::format("blob name of {} bytes, more than {}", size, kMaxIdBytes));
  }
  for (const std::string* part : {&id.account, &id.container, &id.name}) {
    if (part->find('\0') != std::string::npos) {
      return absl::InvalidArgumentError("blob name with a NUL in it");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<BlobId> IdOf(std::string_view key) {
  const size_t first = key.find('\0');
  const size_t second = first == key.npos ? key.npos : key.find('\0', first + 1);
  if (second == key.npos) return absl::DataLossError("metadata key of an unknown form");
  BlobId id;
  id.account = key.substr(0, first);
  id.container = key.substr(first + 1, second - first - 1);
  id.name = key.substr(second + 1);
  return id;
}

uint64_t DataOffset(size_t key_size, const RecordLocation& location) {
  return kRecordHeaderBytes + key_size + location.attributes.size();
}

uint64_t RecordSize(size_t key_size, const RecordLocation& location) {
  return DataOffset(key_size, location) + location.data_size;
}

uint64_t Footprint(size_t key_size, const RecordLocation& location) {
  return (RecordSize(key_size, location) + kRecordAlignment - 1) & ~(kRecordAlignment - 1);
}

std::string EncodeRecordHead(const std::string& key, const RecordLocation& location) {
  std::string head;
  head.reserve(DataOffset(key.size(), location));
  Append(head, kMagic);
  Append(head, kRecordVersion);
  Append(head, static_cast<uint16_t>(key.size()));
  Append(head, static_cast<uint16_t>(location.attributes.size()));
  Append(head, uint16_t{0});
  Append(head, location.segment);
  Append(head, location.offset);
  Append(head, location.data_size);
  Append(head, location.crc32c);
  uint32_t crc = Crc32c(AsBytes(head));
  crc = Crc32c(AsBytes(key), crc);
  crc = Crc32c(AsBytes(location.attributes), crc);
  Append(head, crc);
  return head.append(key).append(location.attributes);
}

absl::StatusOr<RecordHead> ParseRecordHead(std::string_view bytes, uint32_t segment,
                                           uint64_t offset) {
  const absl::Status damaged = absl::DataLossError("no record's head");
  if (bytes.size() < kRecordHeaderBytes) return damaged;
  std::string_view in = bytes.substr(0, kRecordHeaderBytes);
  const bool ours = Take<uint32_t>(in) == kMagic && Take<uint16_t>(in) == kRecordVersion;
  if (!ours) return damaged;
  const size_t key_size = Take<uint16_t>(in);
  const size_t attributes_size = Take<uint16_t>(in);
  in.remove_prefix(sizeof(uint16_t));
  RecordHead head;
  head.location.segment = Take<uint32_t>(in);
  head.location.offset = Take<uint64_t>(in);
  head.location.data_size = Take<uint64_t>(in);
  head.location.crc32c = Take<uint32_t>(in);
  if (attributes_size > kMaxBlobAttributes ||
      bytes.size() < kRecordHeaderBytes + key_size + attributes_size ||
      head.location.segment != segment || head.location.offset != offset ||
      head.location.data_size == 0 || head.location.data_size > kMaxPosition) {
    return damaged;
  }
  head.key = bytes.substr(kRecordHeaderBytes, key_size);
  head.location.attributes = bytes.substr(kRecordHeaderBytes + key_size, attributes_size);
  // Made anew, it has to be the same, its checksum among it.
  if (!bytes.starts_with(EncodeRecordHead(head.key, head.location))) return damaged;
  if (!IdOf(head.key).ok()) return damaged;
  return head;
}

absl::StatusOr<Blob> DecodeRecord(const std::string& key, const RecordLocation& location,
                                  const Slice& record) {
  if (record.size() < RecordSize(key.size(), location)) {
    return absl::DataLossError("the record is cut short");
  }
  // Its every byte is known beforehand, so that comparing proves more than parsing would.
  const std::string head = EncodeRecordHead(key, location);
  if (std::memcmp(record.data(), head.data(), head.size()) != 0) {
    return absl::DataLossError("the record's header, key or attributes are not what was written");
  }
  Blob blob;
  blob.data = record.Sub(head.size(), location.data_size);
  blob.crc32c = location.crc32c;
  blob.attributes = location.attributes;
  if (Crc32c(blob.data.bytes()) != blob.crc32c) {
    return absl::DataLossError("the record's data fails its checksum");
  }
  return blob;
}

std::string EncodeLocation(const RecordLocation& location) {
  std::string value;
  value.reserve(kLocationBytes + location.attributes.size());
  Append(value, kLocationVersion);
  Append(value, location.segment);
  Append(value, location.offset);
  Append(value, location.data_size);
  Append(value, location.crc32c);
  return value.append(location.attributes);
}

absl::StatusOr<RecordLocation> DecodeLocation(std::string_view value) {
  if (value.size() < kLocationBytes || value.size() > kLocationBytes + kMaxBlobAttributes ||
      Take<uint8_t>(value) != kLocationVersion) {
    return absl::DataLossError("metadata value of an unknown form");
  }
  RecordLocation location;
  location.segment = Take<uint32_t>(value);
  location.offset = Take<uint64_t>(value);
  location.data_size = Take<uint64_t>(value);
  location.crc32c = Take<uint32_t>(value);
  location.attributes = value;
  if (location.offset % kRecordAlignment != 0 || location.offset > kMaxPosition ||
      location.data_size == 0 || location.data_size > kMaxPosition) {
    return absl::DataLossError("metadata value out of range");
  }
  return location;
}

}  // namespace kvstore::local
